"""More than two classes: one against the rest, the confusion matrix, ISIC's balanced score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.classes import likeliest
from dermedge.delong import auc_interval
from dermedge.intervals import Interval, wilson
from dermtrain.evaluation.resample import drawn, percentile
from dermtrain.evaluation.sample import Floats

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OneClass:
    """One class against the rest; without photographs of it, or of others, nothing is known.

    `found` is the share of its photographs for which it is the likeliest class (recall), `right`
    the share that is truly of it among those called so (precision).
    """

    name: str
    n: int
    auc: Interval | None
    found: Interval | None
    right: Interval | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a set of photographs is told apart.

    Attributes:
        n: Photographs.
        groups: Patients, lesions or single photographs that were resampled whole.
        classes: Each against the rest.
        mean_auc: Mean over the classes that can be measured.
        balanced: Mean share found of each class that is there: the score of ISIC 2018 and 2019.
        top1: Share for which the likeliest class is right.
        confusion: Counts, (true class, likeliest class); a tie for the first place counts nowhere.
        undecided: Photographs with such a tie.
    """

    n: int
    groups: int
    classes: tuple[OneClass, ...]
    mean_auc: Interval | None
    balanced: Interval
    top1: Interval
    confusion: tuple[tuple[int, ...], ...]
    undecided: int


def measure(
    names: Sequence[str],
    targets: Numbers,
    probabilities: Floats,
    group: Numbers,
    resamples: int,
    seed: int,
) -> Figures:
    """Every figure of one set of photographs.

    Args:
        names: Of the classes.
        targets: Class numbers, (n,).
        probabilities: Calibrated, (n, classes).
        group: Of each photograph, (n,); see `Table.groups`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    answers = likeliest(probabilities)
    confusion = np.zeros((len(names), len(names)), np.int64)
    decided = answers >= 0
    np.add.at(confusion, (targets[decided], answers[decided]), 1)
    each = tuple(
        _one(name, number, targets, probabilities, answers) for number, name in enumerate(names)
    )
    right = answers == targets
    balanced, top1 = _bootstrap(targets, right, len(names), group, resamples, seed)
    return Figures(
        n=len(targets),
        groups=len(np.unique(group)),
        classes=each,
        mean_auc=_mean_auc(targets, probabilities, group, resamples, seed),
        balanced=balanced,
        top1=top1,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        undecided=int((~decided).sum()),
    )


def _one(
    name: str, number: int, targets: Numbers, probabilities: Floats, answers: Numbers
) -> OneClass:
    own, called = targets == number, answers == number
    n, hits = int(own.sum()), int((own & called).sum())
    return OneClass(
        name=name,
        n=n,
        auc=auc_interval(own, probabilities[:, number]) if 0 < n < len(own) else None,
        found=wilson(hits, n) if n else None,
        right=wilson(hits, int(called.sum())) if called.any() else None,
    )


def _bootstrap(
    targets: Numbers, right: npt.NDArray[np.bool_], classes: int, group: Numbers, n: int, seed: int
) -> tuple[Interval, Interval]:
    """Balanced accuracy and top-1."""
    member = np.eye(classes)[targets]

    def figures(weights: Floats) -> tuple[Floats, Floats]:
        there, hits = weights @ member, (weights * right) @ member
        share = np.divide(hits, there, out=np.full_like(there, np.nan), where=there > 0)
        return np.nanmean(share, axis=1), hits.sum(axis=1) / there.sum(axis=1)

    values = figures(np.ones((1, len(targets))))
    blocks = [figures(weights) for weights in drawn(group, n, seed)]
    draws = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    balanced, top1 = (percentile(float(v[0]), d) for v, d in zip(values, draws, strict=True))
    return balanced, top1


def _mean_auc(
    targets: Numbers, probabilities: Floats, group: Numbers, resamples: int, seed: int
) -> Interval | None:
    """Mean of the one-versus-rest AUCs; classes that a resample lacks are left out of its mean."""
    from dermtrain.evaluation.ranking import auc
    from dermtrain.evaluation.sample import weigh

    numbers = [int(c) for c in np.unique(targets)]
    if len(numbers) < 2:
        return None

    def mean(weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.stack(
                [auc(weigh(targets == c, probabilities[:, c], weights)) for c in numbers]
            )
        there = np.isfinite(each)
        return np.divide(
            np.where(there, each, 0).sum(axis=0),
            there.sum(axis=0),
            out=np.full(len(weights), np.nan),
            where=there.any(axis=0),
        )

    value = float(mean(np.ones((1, len(targets))))[0])
    return percentile(value, np.concatenate([mean(w) for w in drawn(group, resamples, seed)]))
