"""Labels and probabilities -> AUC, sensitivity, specificity, calibration, agreement, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError

Z = NormalDist().inv_cdf(0.975)  # every interval is a two-sided 95 % one
BINS = 10  # equal-mass bins of the calibration error

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval; `method` names the formula."""

    value: float
    low: float
    high: float
    method: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired difference of two AUCs, second minus first.

    `p_value` is that of "no difference", two-sided; None where no test is defined.
    """

    interval: Interval
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two models decide alike, each at its own threshold; counts are photographs."""

    share: Interval
    to_negative: int
    to_positive: int


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram: what was said, what was so, over how many photographs."""

    probability: float
    observed: Interval
    n: int


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


def figures(labels: Labels, probabilities: Scores, threshold: float) -> Figures:
    """Every figure of one model.

    Args:
        labels: bool (n,), True for the positive classes.
        probabilities: (n,), calibrated probability of the positive classes together.
        threshold: Frozen operating point; a photograph is positive if its probability reaches it.

    Raises:
        InputError: One class only, lengths that differ, or a probability that is not finite.
    """
    check(labels, probabilities)
    hit, clear = (
        sensitivity(labels, probabilities, threshold),
        specificity(labels, probabilities, threshold),
    )
    return Figures(
        n=len(labels),
        positives=int(labels.sum()),
        auc=auc_interval(labels, probabilities),
        sensitivity=hit,
        specificity=clear,
        balanced_accuracy=(hit.value + clear.value) / 2,
        ece=calibration_error(labels, probabilities),
        brier=brier(labels, probabilities),
        threshold=float(threshold),
    )


def check(labels: Labels, *scores: Scores) -> None:
    """Refuse input on which the figures are not defined.

    Raises:
        InputError: One class only, lengths that differ, or a score that is not finite.
    """
    positives = int(np.count_nonzero(labels))
    if not 0 < positives < len(labels):
        raise InputError(
            f"{positives} of {len(labels)} photographs are positive: sensitivity, specificity and AUC "
            "need both classes. Add photographs of the other class, or choose another split"
        )
    for array in scores:
        if array.shape != labels.shape or not np.isfinite(array).all():
            raise InputError(
                f"expected {len(labels)} finite scores, one for each label; found shape {array.shape}, "
                f"{np.count_nonzero(~np.isfinite(array))} not finite"
            )


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the Mann-Whitney statistic, ties counted half.

    Raises:
        InputError: See `check`.
    """
    check(labels, scores)
    return float(_placements(labels, scores)[0].mean())


def auc_interval(labels: Labels, scores: Scores) -> Interval:
    """AUC with its 95 % interval.

    AUC +- z * SE with the variance of DeLong et al. 1988, clipped to [0, 1]. That variance is zero
    where the classes are perfectly separated and undefined with one photograph in a class; there
    the score interval of Newcombe 2006 (Statistics in Medicine 25:559, method 5) is given instead.

    Raises:
        InputError: See `check`.
    """
    check(labels, scores)
    positive, negative = _placements(labels, scores)
    value = float(positive.mean())
    if _degenerate(positive, negative):
        return _newcombe(value, len(positive), len(negative))
    half = Z * math.sqrt(_variance(positive, negative))
    return Interval(value, max(0.0, value - half), min(1.0, value + half), "DeLong")


def auc_difference(labels: Labels, first: Scores, second: Scores) -> Difference:
    """Paired difference AUC(second) - AUC(first) on the same photographs (DeLong et al. 1988).

    Two cases fall outside of DeLong's method. Models that put all photographs in the same order
    have the same ROC curve: the difference is 0 without error. Where both separate the classes
    perfectly, or a class has one photograph, DeLong's variance is zero or undefined, and the two
    single intervals are combined as if independent (MOVER, Zou & Donner 2008), which is cautious.

    Raises:
        InputError: See `check`.
    """
    check(labels, first, second)
    if np.array_equal(_midranks(first), _midranks(second)):
        return Difference(Interval(0.0, 0.0, 0.0, "same order"), 1.0)
    one, two = _placements(labels, first), _placements(labels, second)
    if _degenerate(*one) and _degenerate(*two):
        return Difference(_mover(auc_interval(labels, first), auc_interval(labels, second)), None)
    positive, negative = two[0] - one[0], two[1] - one[1]
    value = float(positive.mean())
    error = math.sqrt(_variance(positive, negative))
    z = value / error if error > 0 else math.copysign(math.inf, value) if value else 0.0
    low, high = max(-1.0, value - Z * error), min(1.0, value + Z * error)
    return Difference(Interval(value, low, high, "DeLong"), math.erfc(abs(z) / math.sqrt(2)))


def wilson(hits: int, n: int) -> Interval:
    """Share `hits / n` with the score interval of Wilson 1927.

    Raises:
        InputError: `n` is not positive, or `hits` does not lie in 0 to n.
    """
    if not (n > 0 and 0 <= hits <= n):
        raise InputError(f"expected 0 to n hits among n > 0 photographs, found {hits} of {n}")
    value, spread = hits / n, Z * Z / n
    centre = (value + spread / 2) / (1 + spread)
    half = Z * math.sqrt(value * (1 - value) / n + spread / (4 * n)) / (1 + spread)
    # The bounds reach 0 and 1 exactly at 0 and n hits, but for rounding.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(value, low, high, "Wilson")


def sensitivity(labels: Labels, probabilities: Scores, threshold: float) -> Interval:
    """Share of the positive photographs whose probability reaches the threshold."""
    return wilson(int(np.sum(probabilities[labels] >= threshold)), int(labels.sum()))


def specificity(labels: Labels, probabilities: Scores, threshold: float) -> Interval:
    """Share of the negative photographs whose probability stays below the threshold."""
    return wilson(int(np.sum(probabilities[~labels] < threshold)), int((~labels).sum()))


def brier(labels: Labels, probabilities: Scores) -> float:
    """Mean squared error of the probabilities (Brier 1950)."""
    return float(np.mean((probabilities - labels) ** 2))


def calibration_bins(labels: Labels, probabilities: Scores, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal mass, by rising probability; equal probabilities share a bin, so there may be fewer."""
    edges = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
    index = np.searchsorted(edges, probabilities, side="right")
    members = [index == i for i in range(bins) if np.any(index == i)]
    return tuple(
        Bin(
            float(probabilities[m].mean()), wilson(int(labels[m].sum()), int(m.sum())), int(m.sum())
        )
        for m in members
    )


def calibration_error(labels: Labels, probabilities: Scores, bins: int = BINS) -> float:
    """Expected calibration error over `bins` bins of equal mass (Naeini et al. 2015, Nixon et al. 2019).

    The mean gap between probability and observed share, weighted by the photographs in each bin. It
    is biased upwards on few photographs: compare it between models on the same ones.
    """
    gaps = [
        abs(b.probability - b.observed.value) * b.n
        for b in calibration_bins(labels, probabilities, bins)
    ]
    return sum(gaps) / len(labels)


def agreement(first: Labels, second: Labels) -> Agreement:
    """Compare the decisions (True is positive) of two models on the same photographs, bool (n,)."""
    return Agreement(
        share=wilson(int(np.sum(first == second)), len(first)),
        to_negative=int(np.sum(first & ~second)),
        to_positive=int(np.sum(~first & second)),
    )


def roc(labels: Labels, scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """ROC curve: 1 - specificity and sensitivity, float64, at every distinct score from (0, 0) to (1, 1)."""
    thresholds = np.unique(scores)
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    missed = np.searchsorted(positive, thresholds) / len(positive)
    cleared = np.searchsorted(negative, thresholds) / len(negative)
    return np.append(1 - cleared, 0.0)[::-1], np.append(1 - missed, 0.0)[::-1]


def _midranks(scores: Scores) -> npt.NDArray[np.float64]:
    """Ranks from 1, equal scores sharing the mean of theirs; O(n log n)."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]


def _placements(
    labels: Labels, scores: Scores
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """DeLong's structural components by the fast algorithm of Sun & Xu 2014.

    Returns:
        For each positive the share of negatives below it, for each negative the share of positives
        above it, ties counted half. The mean of either is the AUC.
    """
    ranks = _midranks(scores)
    positive, negative = scores[labels], scores[~labels]
    below = (ranks[labels] - _midranks(positive)) / len(negative)
    above = 1 - (ranks[~labels] - _midranks(negative)) / len(positive)
    return below, above


def _degenerate(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64]) -> bool:
    """Whether DeLong's variance says nothing: no spread at all, or a class of one."""
    return min(len(positive), len(negative)) < 2 or bool(np.ptp(positive) == np.ptp(negative) == 0)


def _variance(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64]) -> float:
    return float(positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative))


def _newcombe(value: float, positives: int, negatives: int) -> Interval:
    """Solve |value - t| = z * SE(t), SE after Hanley & McNeil 1982 at t itself, by bisection."""
    mean = (positives + negatives) / 2 - 1

    def outside(t: float) -> bool:
        spread = t * (1 - t) * (1 + mean * ((1 - t) / (2 - t) + t / (1 + t)))
        return (value - t) ** 2 > Z * Z * spread / (positives * negatives)

    def bound(far: float) -> float:
        near = value
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (near, middle) if outside(middle) else (middle, far)
        return far

    low = bound(0.0) if value > 0 else 0.0
    high = bound(1.0) if value < 1 else 1.0
    return Interval(value, low, high, "Newcombe")


def _mover(first: Interval, second: Interval) -> Interval:
    value = second.value - first.value
    low = value - math.hypot(second.value - second.low, first.high - first.value)
    high = value + math.hypot(second.high - second.value, first.value - first.low)
    return Interval(value, max(-1.0, low), min(1.0, high), "MOVER")
