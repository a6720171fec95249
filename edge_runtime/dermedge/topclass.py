"""What a model without positive classes is worth: is its top class the right one, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.classes import class_figures, likeliest
from dermedge.decide import TOP
from dermedge.delong import Groups
from dermedge.intervals import Interval, wilson
from dermedge.macro import Classes, macro_auc_interval
from dermedge.metrics import calibration_error


@dataclass(frozen=True, slots=True)
class TopFigures:
    """What one model is worth on one set of photographs; `threshold` was frozen beforehand.

    Attributes:
        n: Photographs.
        classes: Classes that they are of.
        auc: Mean AUC of each class against the rest.
        accuracy: Share of the photographs whose top class is right.
        top3: Share of those whose class is among the three most probable.
        balanced_accuracy: Mean over the classes of the share that is found.
        named: Share for which a class is named, its probability reaching the threshold; the others
            are uncertain.
        named_accuracy: Share of the named that are right; None if none is named.
        ece: Calibration error of the top class's probability, bins of equal mass.
        brier: Mean squared error over all classes (Brier 1950), 0 to 2.
        threshold: Least probability of the top class that is enough to name it; 1 names none.
    """

    n: int
    classes: int
    auc: Interval
    accuracy: Interval
    top3: Interval
    balanced_accuracy: float
    named: Interval
    named_accuracy: Interval | None
    ece: float
    brier: float
    threshold: float


def figures(
    classes: Classes,
    probabilities: npt.NDArray[np.floating],
    threshold: float,
    groups: Groups | None = None,
) -> TopFigures:
    """Every figure of one model.

    Args:
        classes: True class numbers, (rows,).
        probabilities: Calibrated, (rows, classes).
        threshold: Frozen; see `TopFigures`.
        groups: Number of each photograph's patient or lesion, for the AUC's interval; (rows,).

    Raises:
        InputError: Rows of one class only, or a probability that is not finite.
    """
    auc = macro_auc_interval(classes, probabilities, groups)  # checks both
    known = class_figures(classes, probabilities)
    correct, leading = right(classes, probabilities), probabilities.max(axis=1)
    found = named(probabilities, threshold)
    own = probabilities[np.arange(len(classes)), classes]
    among = (probabilities > own[:, None]).sum(axis=1) < TOP
    one_hot = np.eye(probabilities.shape[1])[classes]
    return TopFigures(
        n=len(classes),
        classes=len(np.unique(classes)),
        auc=auc,
        accuracy=known.top1,
        top3=_share(among),
        balanced_accuracy=known.balanced,
        named=_share(found),
        named_accuracy=_share(correct[found]) if found.any() else None,
        ece=calibration_error(correct, leading),
        brier=float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        threshold=float(threshold),
    )


def right(classes: Classes, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether the top class is the true one, (rows,)."""
    return likeliest(probabilities) == classes


def named(probabilities: npt.NDArray[np.floating], threshold: float) -> npt.NDArray[np.bool_]:
    """Whether the top class is probable enough to be named, (rows,); see `decide.judge`."""
    return (probabilities.max(axis=1) >= threshold) & (threshold < 1)


def threshold_for(
    correct: Sequence[bool] | npt.NDArray[np.bool_],
    leading: npt.NDArray[np.floating],
    accuracy: float,
    least: int = 10,
) -> float:
    """Least probability of the top class from which on it is right at least so often.

    Args:
        correct: Whether the top class is right, (rows,).
        leading: Its probability, (rows,).
        accuracy: The share wanted, above 0.
        least: So many photographs have to reach the threshold: one alone supports nothing.

    Returns:
        A probability below 1; 1 if no threshold gives this accuracy.
    """
    order = np.argsort(-leading, kind="stable")
    sure, hits = leading[order], np.cumsum(np.asarray(correct)[order])
    counts = np.arange(1, len(sure) + 1)
    # Equal probabilities pass a threshold together: only the last of them may set one.
    last = np.append(sure[1:] < sure[:-1], True)
    fits = last & (hits >= accuracy * counts) & (counts >= least)
    if not fits.any():
        return 1.0
    return float(min(sure[np.flatnonzero(fits)[-1]], np.nextafter(1.0, 0.0)))


def _share(hits: npt.NDArray[np.bool_]) -> Interval:
    return wilson(int(np.count_nonzero(hits)), len(hits))
