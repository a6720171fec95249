"""Area under the ROC curve, its interval, and the paired difference of two (DeLong et al. 1988)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError
from dermedge.intervals import Interval, Z, mover, newcombe

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired difference of two AUCs, second minus first.

    `p_value` is that of "no difference", two-sided; None where no test is defined.
    """

    interval: Interval
    p_value: float | None

    def within(self, margin: float) -> bool:
        """Non-inferiority of the second: its lower 95 % bound is not below -margin."""
        return self.interval.low >= -margin


def check(labels: Labels, *scores: Scores) -> None:
    """Refuse input on which AUC, sensitivity and specificity are not defined.

    Raises:
        InputError: One class only, lengths that differ, or a score that is not finite.
    """
    n, positives = len(labels), int(np.count_nonzero(labels))
    if not 0 < positives < n:
        raise InputError(
            f"{positives} of {n} photographs are positive, but AUC, sensitivity and specificity "
            "need both classes: add photographs of the other class, or choose another split"
        )
    for array in scores:
        if array.shape != labels.shape or not np.isfinite(array).all():
            wrong = np.count_nonzero(~np.isfinite(array))
            raise InputError(
                f"expected {n} finite scores, one for each label; found {array.size}, {wrong} of "
                "them not finite"
            )


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the Mann-Whitney statistic, ties counted half.

    Args:
        labels: bool (n,), True for the positive classes.
        scores: (n,), higher for positives.

    Raises:
        InputError: See `check`.
    """
    check(labels, scores)
    return float(placements(labels, scores)[0].mean())


def auc_interval(labels: Labels, scores: Scores) -> Interval:
    """AUC with its 95 % interval.

    AUC +- z * SE with DeLong's variance, clipped to [0, 1]. That variance is zero where the classes
    are perfectly separated and undefined with one photograph in a class; the interval is then
    Newcombe's (see `dermedge.intervals`).

    Raises:
        InputError: See `check`.
    """
    check(labels, scores)
    parts = placements(labels, scores)
    value = float(parts[0].mean())
    if _degenerate(*parts):
        return newcombe(value, len(parts[0]), len(parts[1]))
    half = Z * math.sqrt(_variance(*parts))
    return Interval(value, max(0.0, value - half), min(1.0, value + half), "DeLong")


def auc_difference(labels: Labels, first: Scores, second: Scores) -> Difference:
    """Paired difference AUC(second) - AUC(first) on the same photographs.

    Two cases lie outside of DeLong's method. Models that put all photographs in the same order have
    the same ROC curve on any sample of them: the difference is 0, without error. Where both
    separate the classes perfectly, or a class has one photograph, the variance is zero or
    undefined, and MOVER combines the single intervals (see `dermedge.intervals`).

    Raises:
        InputError: See `check`.
    """
    check(labels, first, second)
    if np.array_equal(_midranks(first), _midranks(second)):
        return Difference(Interval(0.0, 0.0, 0.0, "same order"), 1.0)
    one, two = placements(labels, first), placements(labels, second)
    if _degenerate(*one) and _degenerate(*two):
        return Difference(mover(auc_interval(labels, first), auc_interval(labels, second)), None)
    positive, negative = two[0] - one[0], two[1] - one[1]
    value, error = float(positive.mean()), math.sqrt(_variance(positive, negative))
    low, high = max(-1.0, value - Z * error), min(1.0, value + Z * error)
    if error == 0:  # no pair of photographs is ordered differently
        return Difference(Interval(value, low, high, "DeLong"), 1.0 if value == 0 else 0.0)
    p_value = math.erfc(abs(value) / error / math.sqrt(2))
    return Difference(Interval(value, low, high, "DeLong"), p_value)


def roc(labels: Labels, scores: Scores) -> tuple[_Floats, _Floats]:
    """ROC curve from (0, 0) to (1, 1), one point for each distinct score.

    Returns:
        1 - specificity and sensitivity, float64 (points,) each, rising.
    """
    thresholds = np.unique(scores)
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    missed = np.searchsorted(positive, thresholds) / len(positive)
    cleared = np.searchsorted(negative, thresholds) / len(negative)
    return np.append(1 - cleared, 0.0)[::-1], np.append(1 - missed, 0.0)[::-1]


def _midranks(scores: Scores) -> _Floats:
    """Ranks from 1, equal scores sharing the mean of theirs; O(n log n)."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]


def placements(labels: Labels, scores: Scores) -> tuple[_Floats, _Floats]:
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


def _degenerate(positive: _Floats, negative: _Floats) -> bool:
    """Whether DeLong's variance says nothing: no spread at all, or a class of one."""
    return min(len(positive), len(negative)) < 2 or bool(np.ptp(positive) == np.ptp(negative) == 0)


def _variance(positive: _Floats, negative: _Floats) -> float:
    return float(positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative))
