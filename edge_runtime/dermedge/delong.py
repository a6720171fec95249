"""Area under the ROC curve, its interval, and the paired difference of two (DeLong et al. 1988).

Photographs of one patient or lesion resemble each other: their groups count as the sample then
(Obuchowski 1997, Biometrics 53:567). Without groups every photograph is one, which is DeLong's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError
from dermedge.intervals import Interval, Z, mover, newcombe

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating]
Groups = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
METHOD, GROUPED = "DeLong", "DeLong, by patient or lesion (Obuchowski 1997)"


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


def auc_interval(labels: Labels, scores: Scores, groups: Groups | None = None) -> Interval:
    """AUC with its 95 % interval.

    AUC +- z * SE with DeLong's variance, clipped to [0, 1]. That variance is zero where the classes
    are perfectly separated and undefined with one group in a class; the interval is then Newcombe's
    (see `dermedge.intervals`), of as many photographs as there are groups.

    Args:
        labels: bool (n,), True for the positive classes.
        scores: (n,), higher for positives.
        groups: Number of each photograph's patient or lesion, (n,); default: all of their own.

    Raises:
        InputError: See `check`.
    """
    check(labels, scores)
    parts, apart = placements(labels, scores), _apart(labels, groups)
    value = float(parts[0].mean())
    if _degenerate(*parts, apart):
        return newcombe(value, *(len(np.unique(each)) for each in apart))
    half = Z * math.sqrt(_variance(*parts, apart))
    return Interval(value, max(0.0, value - half), min(1.0, value + half), method(groups))


def auc_difference(
    labels: Labels, first: Scores, second: Scores, groups: Groups | None = None
) -> Difference:
    """Paired difference AUC(second) - AUC(first) on the same photographs.

    Two cases lie outside of DeLong's method. Models that put all photographs in the same order have
    the same ROC curve on any sample of them: the difference is 0, without error. Where both
    separate the classes perfectly, or a class has one group, the variance is zero or undefined, and
    MOVER combines the single intervals (see `dermedge.intervals`).

    Args:
        labels: bool (n,), True for the positive classes.
        first: (n,), higher for positives.
        second: As `first`.
        groups: See `auc_interval`.

    Raises:
        InputError: See `check`.
    """
    check(labels, first, second)
    if np.array_equal(_midranks(first), _midranks(second)):
        return Difference(Interval(0.0, 0.0, 0.0, "same order"), 1.0)
    one, two = placements(labels, first), placements(labels, second)
    apart = _apart(labels, groups)
    if _degenerate(*one, apart) and _degenerate(*two, apart):
        each = (auc_interval(labels, scores, groups) for scores in (first, second))
        return Difference(mover(*each), None)
    positive, negative = two[0] - one[0], two[1] - one[1]
    value, error = float(positive.mean()), math.sqrt(_variance(positive, negative, apart))
    low, high = max(-1.0, value - Z * error), min(1.0, value + Z * error)
    if error == 0:  # no pair of photographs is ordered differently
        return Difference(Interval(value, low, high, method(groups)), 1.0 if value == 0 else 0.0)
    p_value = math.erfc(abs(value) / error / math.sqrt(2))
    return Difference(Interval(value, low, high, method(groups)), p_value)


def method(groups: Groups | None) -> str:
    """The formula's name: DeLong's, or that for groups where any holds several photographs."""
    several = groups is not None and len(np.unique(groups)) < len(groups)
    return GROUPED if several else METHOD


def variance(parts: Sequence[tuple[_Floats, Groups]]) -> float:
    """Variance of a sum over photographs, the number of each class being given.

    Obuchowski 1997: what the photographs of a group add is summed first. Of groups of one that is
    the sum of each class's number times its sample variance.

    Args:
        parts: For each class what its photographs add to the sum, float64 (n,), and their groups.
    """
    _, numbers = np.unique(np.concatenate([groups for _, groups in parts]), return_inverse=True)
    count, total, start = int(numbers.max()) + 1, 0.0, 0
    sums = []
    for added, groups in parts:
        own = numbers[start : (start := start + len(groups))]
        sums.append(np.bincount(own, added - added.mean(), count))
        total += (_unbiased(len(np.unique(own))) - _unbiased(count)) * float(sums[-1] @ sums[-1])
    together = np.sum(sums, axis=0)
    return max(0.0, total + _unbiased(count) * float(together @ together))


def _unbiased(groups: int) -> float:
    """What a sum of squares about its own mean is short of, as a factor."""
    return groups / (groups - 1) if groups > 1 else 0.0


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


def _apart(labels: Labels, groups: Groups | None) -> tuple[Groups, Groups]:
    """Groups of the positives and of the negatives."""
    groups = np.arange(len(labels)) if groups is None else groups
    return groups[labels], groups[~labels]


def _degenerate(positive: _Floats, negative: _Floats, apart: tuple[Groups, Groups]) -> bool:
    """Whether DeLong's variance says nothing: no spread at all, or a class of one group."""
    return min(len(np.unique(each)) for each in apart) < 2 or bool(
        np.ptp(positive) == np.ptp(negative) == 0
    )


def _variance(positive: _Floats, negative: _Floats, apart: tuple[Groups, Groups]) -> float:
    pairs = zip((positive, negative), apart, strict=True)
    return variance([(each / len(each), own) for each, own in pairs])
