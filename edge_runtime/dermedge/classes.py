"""Class numbers and probabilities -> how often the likeliest class is the right one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.intervals import Interval, wilson

UNDECIDED = -1


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """What one model is worth at telling classes apart.

    `balanced` is the mean share of each class that is found, over the classes that are there: the
    score of the ISIC challenges 2018 and 2019.
    """

    n: int
    top1: Interval
    balanced: float


def likeliest(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Number of the likeliest class, int64 (n,); UNDECIDED where two share the first place.

    The ISIC challenges count such a tie as no answer (isic-challenge-scoring).
    """
    best = probabilities.max(axis=1, keepdims=True)
    tied = (probabilities == best).sum(axis=1) > 1
    return np.where(tied, UNDECIDED, probabilities.argmax(axis=1)).astype(np.int64)


def class_figures(
    targets: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]
) -> ClassFigures:
    """Top-1 and balanced accuracy.

    Args:
        targets: Class numbers, (n,).
        probabilities: (n, classes).
    """
    right = likeliest(probabilities) == targets
    found = [float(right[targets == number].mean()) for number in np.unique(targets)]
    return ClassFigures(len(targets), wilson(int(right.sum()), len(right)), float(np.mean(found)))
