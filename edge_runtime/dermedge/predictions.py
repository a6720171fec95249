"""A model and a labelled table -> what the model says of each photograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge import image, metrics, topclass
from dermedge.classes import ClassFigures, class_figures
from dermedge.contract import Contract
from dermedge.decide import probabilities as softmax
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import ImageError, InputError, TableError
from dermedge.metrics import Figures, Labels
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermedge.topclass import TopFigures

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one model says of the photographs of a table, in the table's order.

    Attributes:
        contract: The model's contract.
        table: The photographs.
        probabilities: float64 (n,), calibrated, of the positive classes together; of a bundle
            without any, of the top class.
        logits: float (n, classes), the model's raw scores.
        decisions: The verdicts that a user would see, in words; empty if nothing was decided.
        quality: `ok`, or why each photograph is not assessable: its quality, or that it is unlike
            the training photographs; empty if that was not judged.
    """

    contract: Contract
    table: Table
    probabilities: npt.NDArray[np.float64]
    logits: npt.NDArray[np.floating]
    decisions: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()

    @property
    def labels(self) -> Labels:
        """Whether each photograph is of a positive class, bool (n,)."""
        return truth(self.table, self.contract)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """Class number of each photograph's label, int64 (n,)."""
        return class_numbers(self.table, self.contract)

    @property
    def class_probabilities(self) -> npt.NDArray[np.float64]:
        """Calibrated probability of each class, float64 (n, classes)."""
        return softmax(self.logits, self.contract.calibration.temperature)

    @property
    def positive(self) -> Labels:
        """Whether each probability reaches the model's own frozen threshold, bool (n,)."""
        return self.probabilities >= self.contract.decision.threshold

    def joined(self, other: Predictions) -> Predictions:
        """These photographs and, after them, those of `other`, which is of the same model."""
        table = dataclasses.replace(self.table, rows=self.table.rows + other.table.rows)
        return Predictions(
            contract=self.contract,
            table=table,
            probabilities=np.concatenate([self.probabilities, other.probabilities]),
            logits=np.concatenate([self.logits, other.logits]),
            decisions=self.decisions + other.decisions,
            quality=self.quality + other.quality,
        )

    @property
    def not_assessable(self) -> int:
        """Photographs of bad quality or unlike the training ones; they are scored all the same."""
        return sum(verdict != "ok" for verdict in self.quality)


def truth(table: Table, terms: Contract) -> Labels:
    """Whether each row's label is one of the contract's positive classes, bool (n,).

    Raises:
        TableError: A label that the contract does not know.
    """
    return np.isin(class_numbers(table, terms), terms.positive)


def class_numbers(table: Table, terms: Contract) -> npt.NDArray[np.int64]:
    """Number of each row's label among the contract's classes, int64 (n,).

    Raises:
        TableError: A label that the contract does not know.
    """
    numbers = {label.name: label.id for label in terms.labels}
    unknown = sorted(set(table.classes) - set(numbers))
    if unknown:
        raise TableError(
            f"{table.source}: the model does not know the labels {', '.join(unknown)}; "
            f"it knows {', '.join(numbers)}. Rename them in the table"
        )
    return np.array([numbers[row.label] for row in table.rows], np.int64)


def check(table: Table, terms: Contract) -> None:
    """Refuse photographs on which this model can't be measured, before the long work.

    Raises:
        TableError: A label that the contract does not know.
        InputError: One class only; of a model with positive classes, these or the others only.
    """
    labels = truth(table, terms)
    where = " and ".join([str(table.source), *sorted({row.split for row in table.rows} - {""})])
    if terms.positive:
        try:
            metrics.check(labels)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    elif len(set(table.classes)) < 2:
        raise InputError(
            f"{where}: all {len(labels)} photographs are of one class, but models are measured "
            "on two or more: add photographs of other classes, or choose another split"
        )


def predict(diagnostician: Diagnostician, table: Table, progress: Progress = silent) -> Predictions:
    """Judge every photograph of a table with one bundle; see `predict_together`."""
    return predict_together([diagnostician], table, progress)[0]


def predict_together(
    diagnosticians: Sequence[Diagnostician], table: Table, progress: Progress = silent
) -> tuple[Predictions, ...]:
    """Judge every photograph with every bundle; each file is read once.

    A photograph that is not assessable is scored like any other, so that all bundles are measured
    on the same ones.

    Raises:
        TableError: A label that the bundles do not know.
        InputError: One class only, or photographs that can't be read: the first of them are named.
    """
    for diagnostician in diagnosticians:  # before the long work, not after it
        check(table, diagnostician.contract)
    found: list[list[Diagnosis]] = [[] for _ in diagnosticians]
    broken: list[str] = []
    for done, row in enumerate(table.rows, 1):
        try:
            photograph = image.read(table.path(row))
        except ImageError as error:
            broken.append(str(error))
        else:
            for diagnostician, diagnoses in zip(diagnosticians, found, strict=True):
                diagnoses.append(diagnostician.diagnose(photograph))
        progress("judging photographs", done, len(table.rows))
    if broken:
        raise InputError(unreadable(table, broken))
    pairs = zip(diagnosticians, found, strict=True)
    return tuple(_collect(d.contract, table, diagnoses) for d, diagnoses in pairs)


def figures_of(predictions: Predictions) -> Figures:
    """AUC, sensitivity, specificity and calibration at the contract's frozen threshold."""
    threshold = predictions.contract.decision.threshold
    each = predictions.labels, predictions.probabilities
    return metrics.figures(*each, threshold, predictions.table.groups)


def class_figures_of(predictions: Predictions) -> ClassFigures:
    """How often the likeliest class is the right one."""
    return class_figures(predictions.targets, predictions.class_probabilities)


def top_figures_of(predictions: Predictions) -> TopFigures:
    """What a model without positive classes is worth: is its top class right, and how sure."""
    threshold = predictions.contract.decision.threshold
    each = predictions.targets, predictions.class_probabilities
    return topclass.figures(*each, threshold, predictions.table.groups)


def as_json(
    model: Path, split: str, predictions: Predictions, figures: Figures | None
) -> dict[str, Any]:
    """What `kit evaluate --json` prints; `figures` is None if no class is positive."""
    terms, table = predictions.contract, predictions.table
    own = figures or top_figures_of(predictions)
    several = figures and len(terms.labels) > 2
    return {
        "model": str(model),
        "data": str(table.source),
        "split": split,
        "made_up": made_up(predictions),
        "chosen_for": terms.decision.chosen_for,
        **asdict(own),
        "ece_bins": metrics.BINS,
        **({"classes": asdict(class_figures_of(predictions))} if several else {}),
        "not_assessable": predictions.not_assessable,
        "notice": terms.notice,
    }


def made_up(*models: Predictions) -> str:
    """What was made up about figures from these predictions, in words; else empty."""
    steps = {
        "trained": any(p.contract.provenance.made_up for p in models),
        "measured": any(p.table.made_up for p in models),
    }
    words = " and ".join(step for step, so in steps.items() if so)
    return f"{words} on made-up photographs" if words else ""


def unreadable(table: Table, broken: list[str]) -> str:
    """What to say of photographs that can't be read: the first few, and what to do."""
    more = [f"and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
    return (
        f"{len(broken)} of {len(table.rows)} photographs can't be read; mend them, or take their "
        f"rows out of {table.source}:\n  " + "\n  ".join(broken[:_SHOWN] + more)
    )


def _collect(terms: Contract, table: Table, diagnoses: Sequence[Diagnosis]) -> Predictions:
    return Predictions(
        contract=terms,
        table=table,
        probabilities=np.array([d.probability for d in diagnoses]),
        logits=np.array([d.outputs.scores for d in diagnoses]),
        decisions=tuple(d.decision for d in diagnoses),
        quality=tuple(d.quality.verdict for d in diagnoses),
    )
