"""Validation scores -> temperature and thresholds, frozen from then on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_curve

from dermedge import metrics, topclass
from dermedge.contract import Calibration, Decision
from dermedge.decide import positive_probability, probabilities
from dermtrain.truth import Truth

SENSITIVITIES = (0.90, 0.95)
ACCURACIES = (0.90, 0.95)  # of the named classes, for a model without positive ones
NAMED_FOR = "accuracy>=0.90"
CHOSEN_FOR = "sensitivity>=0.90"
YOUDEN = "youden"
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Frozen:
    """What validation fixed for one model, and what that gives on each split.

    Attributes:
        calibration: The temperature.
        decision: The operating points.
        metrics: `dermedge.metrics.Figures` of each split (without positive classes
            `dermedge.topclass.TopFigures`), as plain values for the contract.
    """

    calibration: Calibration
    decision: Decision
    metrics: dict[str, dict[str, Any]]


def freeze(
    logits: Mapping[str, npt.NDArray[np.floating]], truth: Mapping[str, Truth], seed: int
) -> Frozen:
    """Calibrate on `val`, then measure every split, each (rows, classes), with what that froze."""
    calibration, decision = calibrate(logits["val"], truth["val"], seed)
    measured = {}
    for name, scores in logits.items():
        if not truth[name].positive:
            each = probabilities(scores, calibration.temperature)
            top = topclass.figures(truth[name].labels, each, decision.threshold)
            measured[name] = dataclasses.asdict(top)
            continue
        p = positive_probability(scores, calibration.temperature, truth[name].positive)
        figures = metrics.figures(truth[name].is_positive, p, decision.threshold)
        measured[name] = dataclasses.asdict(figures)
    return Frozen(calibration, decision, measured)


def calibrate(
    logits: npt.NDArray[np.floating], truth: Truth, seed: int
) -> tuple[Calibration, Decision]:
    """Fit the temperature, then the operating points, on validation.

    Args:
        logits: (rows, classes), from the very model that will be used.
        truth: Of the same rows.
        seed: Of the bootstrap behind the uncertain band.
    """
    temperature = fit_temperature(logits, truth.labels)
    if not truth.positive:
        return Calibration(temperature), _naming(probabilities(logits, temperature), truth.labels)
    probability = positive_probability(logits, temperature, truth.positive)
    chosen = {
        f"sensitivity>={goal:.2f}": threshold_for(truth.is_positive, probability, goal)
        for goal in SENSITIVITIES
    }
    chosen[YOUDEN] = youden(truth.is_positive, probability)
    thresholds = {name: apart(probability, value) for name, value in chosen.items()}
    band = _band(truth.is_positive, probability, thresholds[CHOSEN_FOR], seed)
    return Calibration(temperature), Decision(thresholds, CHOSEN_FOR, band)


def _naming(each: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> Decision:
    """How probable the top class has to be to be named: uncertain below."""
    correct, leading = topclass.right(labels, each), each.max(axis=1)
    thresholds = {
        f"accuracy>={goal:.2f}": apart(leading, topclass.threshold_for(correct, leading, goal))
        for goal in ACCURACIES
    }
    return Decision(thresholds, NAMED_FOR, (0.0, thresholds[NAMED_FOR]))


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """Temperature with the least cross-entropy on these rows (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        chosen = probabilities(logits, float(np.exp(log_temperature)))[
            np.arange(len(labels)), labels
        ]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def threshold_for(
    positive: npt.NDArray[np.bool_], probability: npt.NDArray[np.floating], sensitivity: float
) -> float:
    """Highest threshold at which at least this share of the positives is found."""
    found = np.sort(probability[positive])[::-1]
    return float(found[int(np.ceil(sensitivity * len(found))) - 1])


def youden(positive: npt.NDArray[np.bool_], probability: npt.NDArray[np.floating]) -> float:
    """Threshold with the highest sensitivity + specificity - 1 (Youden 1950)."""
    false, true, thresholds = roc_curve(positive, probability)
    return float(np.clip(thresholds[np.argmax(true - false)], 0.0, 1.0))


def apart(scores: npt.NDArray[np.floating], threshold: float) -> float:
    """Half-way from a threshold down to the next lower score.

    A threshold that is some photograph's own score hangs on its last bit: another processor, whose
    arithmetic rounds otherwise, would decide otherwise. Half-way, the same photographs reach it.
    It stays where it is if no score is lower, or if none reaches it: then it is to bar them all.
    """
    lower = scores[scores < threshold]
    between = 0 < len(lower) < len(scores)
    return float((threshold + lower.max()) / 2) if between else threshold


def _band(
    positive: npt.NDArray[np.bool_],
    probability: npt.NDArray[np.floating],
    threshold: float,
    seed: int,
) -> tuple[float, float]:
    """Where validation was too small to place the threshold: the middle half of its bootstrap."""
    random = np.random.default_rng(seed)
    cases = probability[positive]
    drawn = [
        threshold_for(np.ones(len(cases), bool), random.choice(cases, len(cases)), SENSITIVITIES[0])
        for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(drawn, (25, 75))
    return float(min(low, threshold)), float(max(high, threshold))
