"""Labels and probabilities -> what a model is worth: every figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dermedge.delong import (
    Difference,
    Groups,
    Labels,
    Scores,
    auc,
    auc_difference,
    auc_interval,
    check,
    roc,
)
from dermedge.intervals import Interval, wilson

__all__ = [
    "BINS",
    "Agreement",
    "Bin",
    "Difference",
    "Figures",
    "Interval",
    "Labels",
    "Scores",
    "agreement",
    "auc",
    "auc_difference",
    "auc_interval",
    "brier",
    "calibration_bins",
    "calibration_error",
    "chance_error",
    "check",
    "figures",
    "roc",
    "sensitivity",
    "specificity",
    "wilson",
]

BINS = 10  # equal-mass bins of the calibration error


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model is worth on one set of photographs; `threshold` was frozen beforehand."""

    n: int
    positives: int
    auc: Interval
    sensitivity: Interval
    specificity: Interval
    balanced_accuracy: float
    ece: float
    brier: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram: mean probability, observed share, photographs."""

    probability: float
    observed: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two models decide alike, each at its own threshold; counts are photographs."""

    share: Interval
    to_negative: int
    to_positive: int


def figures(
    labels: Labels, probabilities: Scores, threshold: float, groups: Groups | None = None
) -> Figures:
    """Every figure of one model.

    Args:
        labels: bool (n,), True for the positive classes.
        probabilities: (n,), calibrated probability of the positive classes together.
        threshold: Frozen operating point; a photograph is positive if its probability reaches it.
        groups: Number of each photograph's patient or lesion, for the AUC's interval; (n,).

    Raises:
        InputError: One class only, lengths that differ, or a probability that is not finite.
    """
    check(labels, probabilities)
    found = sensitivity(labels, probabilities, threshold)
    cleared = specificity(labels, probabilities, threshold)
    return Figures(
        n=len(labels),
        positives=int(np.count_nonzero(labels)),
        auc=auc_interval(labels, probabilities, groups),
        sensitivity=found,
        specificity=cleared,
        balanced_accuracy=(found.value + cleared.value) / 2,
        ece=calibration_error(labels, probabilities),
        brier=brier(labels, probabilities),
        threshold=float(threshold),
    )


def sensitivity(labels: Labels, probabilities: Scores, threshold: float) -> Interval:
    """Share of the positive photographs whose probability reaches the threshold."""
    return wilson(int(np.sum(probabilities[labels] >= threshold)), int(np.sum(labels)))


def specificity(labels: Labels, probabilities: Scores, threshold: float) -> Interval:
    """Share of the negative photographs whose probability stays below the threshold."""
    return wilson(int(np.sum(probabilities[~labels] < threshold)), int(np.sum(~labels)))


def brier(labels: Labels, probabilities: Scores) -> float:
    """Mean squared error of the probabilities (Brier 1950)."""
    return float(np.mean((probabilities - labels) ** 2))


def calibration_bins(labels: Labels, probabilities: Scores, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal mass by rising probability; equal ones share a bin, so some may be missing."""
    edges = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
    index = np.searchsorted(edges, probabilities, side="right")
    found = []
    for members in (index == i for i in np.unique(index)):
        observed = wilson(int(labels[members].sum()), int(members.sum()))
        found.append(Bin(float(probabilities[members].mean()), observed, int(members.sum())))
    return tuple(found)


def calibration_error(labels: Labels, probabilities: Scores, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal mass (Nixon et al. 2019).

    The mean gap between probability and observed share, weighted by the photographs in each bin. It
    is biased upwards on few photographs: compare it between models on the same ones.
    """
    found = calibration_bins(labels, probabilities, bins)
    return sum(abs(b.probability - b.observed.value) * b.n for b in found) / len(labels)


def chance_error(
    probabilities: Scores, bins: int = BINS, draws: int = 1000, quantile: float = 0.95
) -> float:
    """Calibration error that chance alone gives a perfectly calibrated model, at most.

    Labels are drawn from the probabilities themselves (consistency resampling, Bröcker and Smith
    2007), always with the same seed; of the errors that this gives the `quantile` is returned.
    """
    random = np.random.default_rng(0)
    drawn = (random.random(len(probabilities)) < probabilities for _ in range(draws))
    errors = [calibration_error(labels, probabilities, bins) for labels in drawn]
    return float(np.quantile(errors, quantile))


def agreement(first: Labels, second: Labels) -> Agreement:
    """Compare the decisions (True is positive) of two models on the same photographs, bool (n,)."""
    return Agreement(
        share=wilson(int(np.sum(first == second)), len(first)),
        to_negative=int(np.sum(first & ~second)),
        to_positive=int(np.sum(~first & second)),
    )
