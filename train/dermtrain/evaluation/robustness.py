"""What blur, noise, light and the like cost a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge import metrics, topclass
from dermedge.contract import Contract
from dermedge.decide import probabilities, reported
from dermedge.delong import auc_difference
from dermedge.intervals import Interval
from dermedge.macro import macro_auc_difference
from dermedge.predictions import class_numbers
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.corruptions import NAMES, SEVERITIES, corrupt
from dermtrain.evaluation.judge import Judge, Pixels, batches, over_views
from dermtrain.evaluation.sample import Floats

TITLES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity at the frozen threshold",
    "ece": "Calibration error (ECE)",
    "balanced": "Balanced accuracy over the classes",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """Figures under one corruption at one severity.

    Attributes:
        name: The corruption; empty for the photographs as they are.
        severity: 1 to 5.
        figures: By the keys of TITLES.
        auc_change: Against the same photographs as they are (paired, DeLong).
    """

    name: str
    severity: int
    figures: Mapping[str, float]
    auc_change: Interval | None


@dataclass(frozen=True, slots=True)
class Robustness:
    """All corruptions on one sample of the photographs, drawn by class."""

    n: int
    positives: int
    clean: Cell
    cells: tuple[Cell, ...]

    def mean(self, key: str) -> float:
        """Mean of a figure over all corruptions and severities."""
        return float(np.mean([cell.figures[key] for cell in self.cells]))


def measure(
    judge: Judge, table: Table, most: int, views: int, seed: int, progress: Progress = silent
) -> Robustness:
    """Judge a sample of the photographs under every corruption at every severity.

    Corruptions change the prepared pixels, as in medmnist-c and ImageNet-C: their strengths are
    meant for pictures of about the size that a net sees.

    Args:
        judge: The model.
        table: Labelled photographs.
        most: Photographs in the sample.
        views: See `judge.predict`.
        seed: Of the sample and of the corruptions' own chance.
        progress: Told of the passes.
    """
    chosen = _draw(table, most, seed)
    pixels = np.concatenate([part for part, _ in batches(judge, chosen)])
    terms = judge.contract
    targets = class_numbers(chosen, terms)

    def cell(
        name: str, severity: int, changed: Pixels, clean: Floats | None
    ) -> tuple[Cell, Floats]:
        logits = over_views(judge, changed, views).logits
        each = probabilities(logits, terms.calibration.temperature)
        figures, change = _figures(targets, each, clean, terms)
        return Cell(name, severity, figures, change), each

    clean, reference = cell("", 0, pixels, None)
    passes = [(name, severity) for name in NAMES for severity in SEVERITIES]
    cells = []
    for done, (name, severity) in enumerate(passes, 1):
        spoilt = [corrupt(one, name, severity, seed + i) for i, one in enumerate(pixels)]
        cells.append(cell(name, severity, np.stack(spoilt), reference)[0])
        progress("corruptions", done, len(passes))
    positives = int(np.isin(targets, terms.positive).sum())
    return Robustness(len(targets), positives, clean, tuple(cells))


def _figures(
    targets: npt.NDArray[np.int64], each: Floats, clean: Floats | None, terms: Contract
) -> tuple[dict[str, float], Interval | None]:
    """Figures by the keys of TITLES, and the change of the AUC against the clean photographs."""
    threshold = terms.decision.threshold
    if not terms.positive:
        top = topclass.figures(targets, each, threshold)
        change = None if clean is None else macro_auc_difference(targets, clean, each).interval
        return {"auc": top.auc.value, "balanced": top.balanced_accuracy, "ece": top.ece}, change
    labels, p = np.isin(targets, terms.positive), reported(each, terms.positive)
    found = metrics.figures(labels, p, threshold)
    figures = {
        "auc": found.auc.value,
        "sensitivity": found.sensitivity.value,
        "ece": found.ece,
    }
    if clean is None:
        return figures, None
    return figures, auc_difference(labels, reported(clean, terms.positive), p).interval


def _draw(table: Table, most: int, seed: int) -> Table:
    """So many photographs, each class in its share but with one at least."""
    if len(table.rows) <= most:
        return table
    random = np.random.default_rng(seed)
    labels = np.array([row.label for row in table.rows])
    kept = []
    for name in table.classes:
        own = np.flatnonzero(labels == name)
        kept += list(random.permutation(own)[: max(1, round(most * len(own) / len(labels)))])
    return dataclasses.replace(table, rows=tuple(table.rows[i] for i in sorted(kept)))
