"""What spoilt photographs cost the small model beyond what they cost the full one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dermcompress.paired import auc_change
from dermedge import image
from dermedge.compare import called
from dermedge.decide import probabilities, reported
from dermedge.diagnose import Diagnostician
from dermedge.image import RGB
from dermedge.intervals import Interval, mover, wilson
from dermedge.predictions import Predictions
from dermedge.prepare import prepare
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.corruptions import NAMES, corrupt

SEVERITY, MOST = 3, 48


@dataclass(frozen=True, slots=True)
class Spoilt:
    """Both models under one corruption.

    Attributes:
        name: The corruption.
        full: Change of the full model's AUC against the same photographs as they are.
        small: The same of the small model.
        extra: `small` - `full`: below 0, the small model loses more.
        same: Share of the spoilt photographs on which both decide alike; without positive classes,
            are both right or both wrong.
    """

    name: str
    full: Interval
    small: Interval
    extra: Interval
    same: Interval


@dataclass(frozen=True, slots=True)
class Stress:
    """Both models on the same photographs, spoilt in every way at one severity.

    Attributes:
        n: Photographs, drawn evenly by class.
        severity: 1 to 5.
        full_auc: AUC of the full model on the photographs as they are.
        small_auc: AUC of the small model on them.
        same: Share of them on which both decide alike.
        spoilt: One for each corruption.
    """

    n: int
    severity: int
    full_auc: float
    small_auc: float
    same: Interval
    spoilt: tuple[Spoilt, ...]


def stress(
    judges: tuple[Diagnostician, Diagnostician],
    table: Table,
    most: int = MOST,
    seed: int = 0,
    progress: Progress = silent,
) -> Stress:
    """Judge a few photographs under every corruption with both models, on the device's path.

    Corruptions change the photograph as the full model sees it: their strengths are meant for
    pictures of that size. A small model with a smaller input scales it down further.

    Args:
        judges: The full model and the small one.
        table: Labelled photographs.
        most: Photographs that are drawn, evenly by class; one of each class at least.
        seed: Of the draw and of the corruptions' own chance.
        progress: Told of the corruptions.

    Returns:
        AUCs and their changes by DeLong (paired); `extra` by MOVER, which takes the two changes
        for independent and so is cautious.

    Raises:
        ImageError: A photograph that can't be read.
        InputError: Photographs of one class only.
    """
    chosen = draw(table, most, seed)
    terms = judges[0].contract.input
    plain = dataclasses.replace(terms, colour="rgb", scale=1.0, offset=0.0)
    paths = [chosen.path(row) for row in chosen.rows]
    photographs = [np.asarray(prepare(image.read(path), plain)[0], np.uint8) for path in paths]

    def judged(change: Callable[[int, RGB], RGB]) -> tuple[Predictions, Predictions]:
        pictures = [change(number, one) for number, one in enumerate(photographs)]
        return predicted(judges[0], chosen, pictures), predicted(judges[1], chosen, pictures)

    clean = judged(lambda _, one: one)
    found = []
    for done, name in enumerate(NAMES, 1):
        spoilt = judged(lambda number, one, name=name: corrupt(one, name, SEVERITY, seed + number))
        full, small = (
            auc_change(before, after).difference
            for before, after in zip(clean, spoilt, strict=True)
        )
        found.append(Spoilt(name, full, small, mover(full, small), _same(*spoilt)))
        progress("corruptions", done, len(NAMES))
    before = auc_change(*clean)
    same = _same(*clean)
    return Stress(len(paths), SEVERITY, before.before, before.after, same, tuple(found))


def predicted(judge: Diagnostician, table: Table, pictures: Sequence[RGB]) -> Predictions:
    """What a model says of pictures in place of the table's own photographs, in its order."""
    logits = np.stack([judge.diagnose(picture).outputs.scores for picture in pictures])
    terms = judge.contract
    each = probabilities(logits, terms.calibration.temperature)
    return Predictions(terms, table, reported(each, terms.positive), logits)


def draw(table: Table, most: int, seed: int) -> Table:
    """So many photographs, each class as often as the others while it lasts, in table order."""
    random = np.random.default_rng(seed)
    labels = np.array([row.label for row in table.rows])
    turns = np.empty(len(labels), np.int64)  # of each photograph within its class
    for name in table.classes:
        own = np.flatnonzero(labels == name)
        turns[random.permutation(own)] = np.arange(len(own))
    most = max(most, len(table.classes))
    kept = sorted(np.argsort(turns, kind="stable")[:most])
    return dataclasses.replace(table, rows=tuple(table.rows[i] for i in kept))


def _same(full: Predictions, small: Predictions) -> Interval:
    return wilson(int(np.sum(called(full) == called(small))), len(full.targets))
