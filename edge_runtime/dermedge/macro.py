"""AUC of several classes: the mean of each against the rest, its interval, and a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dermedge.delong import (
    Difference,
    Groups,
    auc_difference,
    auc_interval,
    method,
    placements,
    variance,
)
from dermedge.errors import InputError
from dermedge.intervals import MOVER, NEWCOMBE, Interval, Z

Classes = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def macro_auc(classes: Classes, probabilities: npt.NDArray[np.floating]) -> float:
    """Mean AUC of each class against the rest, over the classes that the rows hold.

    Hand & Till 2001 compare pairs of classes; this is the plain mean over one-vs-rest, as
    scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")`.

    Args:
        classes: Class numbers, (rows,).
        probabilities: (rows, classes), higher for the class.

    Raises:
        InputError: Rows of one class only, or a probability that is not finite.
    """
    return float(np.mean([np.mean(found) for _, found, _ in _each(classes, probabilities)]))


def macro_auc_interval(
    classes: Classes, probabilities: npt.NDArray[np.floating], groups: Groups | None = None
) -> Interval:
    """`macro_auc` with its 95 % interval, DeLong's variance summed over the classes.

    By DeLong et al. 1988 an AUC is a mean over photographs of what each adds to it; what one adds
    to the mean of several AUCs is the mean of what it adds to each. With two classes this is
    DeLong's own interval. Of a class that is told from the rest perfectly, or has one photograph
    (or group), that variance says nothing: its own interval, see `auc_interval`, is added by MOVER,
    several such as if their errors were one and the same.

    Args:
        classes: Class numbers, (rows,).
        probabilities: (rows, classes), higher for the class.
        groups: Number of each photograph's patient or lesion, see `delong`.

    Raises:
        InputError: See `macro_auc`.
    """
    value, added = _added(classes, probabilities)
    half = Z * math.sqrt(_variance(classes, added, groups))
    each = [
        auc_interval(classes == number, probabilities[:, number], groups)
        for number in np.unique(classes)
    ]
    low, high = _bounds(value, half, each, NEWCOMBE)
    return Interval(value, max(0.0, low), min(1.0, high), f"{method(groups)}, mean of classes")


def macro_auc_difference(
    classes: Classes,
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    groups: Groups | None = None,
) -> Difference:
    """Paired difference of `macro_auc` on the same photographs, second minus first.

    Where DeLong's variance says nothing of a class, as in `macro_auc_interval`.

    Args:
        classes: Class numbers, (rows,).
        first: (rows, classes), higher for the class.
        second: As `first`.
        groups: See `macro_auc_interval`.

    Raises:
        InputError: See `macro_auc`.
    """
    (one, before), (two, after) = _added(classes, first), _added(classes, second)
    value, error = two - one, math.sqrt(_variance(classes, after - before, groups))
    each = [
        auc_difference(classes == number, first[:, number], second[:, number], groups).interval
        for number in np.unique(classes)
    ]
    low, high = _bounds(value, Z * error, each, MOVER)
    tested = error > 0 and not any(part.method == MOVER for part in each)
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if tested else None
    found = Interval(value, max(-1.0, low), min(1.0, high), f"{method(groups)}, mean of classes")
    return Difference(found, p_value)


def _bounds(
    value: float, half: float, each: Sequence[Interval], beside: str
) -> tuple[float, float]:
    """Bounds of a mean over classes, whose variance says nothing of some: those by this method."""
    lacking = [part for part in each if part.method == beside]
    below = sum(part.value - part.low for part in lacking) / len(each)
    above = sum(part.high - part.value for part in lacking) / len(each)
    return value - math.hypot(half, below), value + math.hypot(half, above)


def _each(
    classes: Classes, probabilities: npt.NDArray[np.floating]
) -> list[tuple[npt.NDArray[np.bool_], _Floats, _Floats]]:
    """For each class: its rows, and DeLong's placements of its own and of all other rows."""
    if len(np.unique(classes)) < 2 or not np.isfinite(probabilities).all():
        raise InputError(
            "AUC needs photographs of two classes or more, and finite probabilities: add "
            "photographs of other classes, or choose another split"
        )
    found = []
    for number in np.unique(classes):
        own = classes == number
        found.append((own, *placements(own, probabilities[:, number])))
    return found


def _added(classes: Classes, probabilities: npt.NDArray[np.floating]) -> tuple[float, _Floats]:
    """The mean AUC, and what each photograph adds to it, (rows,): its share of the sum."""
    each = _each(classes, probabilities)
    added = np.zeros(len(classes))
    for own, below, above in each:
        added[own] += (below - below.mean()) / len(below)
        added[~own] += (above - above.mean()) / len(above)
    return float(np.mean([below.mean() for _, below, _ in each])), added / len(each)


def _variance(classes: Classes, added: _Floats, groups: Groups | None) -> float:
    groups = np.arange(len(classes)) if groups is None else groups
    members = (classes == number for number in np.unique(classes))
    return variance([(added[own], groups[own]) for own in members])
