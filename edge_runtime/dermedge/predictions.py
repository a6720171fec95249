"""Bundles and a labelled table -> what each bundle says of each photograph."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge import image
from dermedge.contract import Contract
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import ImageError, InputError, TableError
from dermedge.metrics import Labels
from dermedge.progress import Progress, silent
from dermedge.table import Table

TO_NEGATIVE, TO_POSITIVE = "positive -> negative", "negative -> positive"
COLUMNS = (
    *("image", "label", "positive", "prob_float", "prob_small", "decision_float", "decision_small"),
    *("quality", "flip"),
)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one bundle says of the photographs of a table, in the table's order.

    Attributes:
        probabilities: float64 (n,), calibrated, of the positive classes together.
        positive: bool (n,), whether the probability reaches the bundle's own threshold.
        decisions: The verdict that a user would see, in words.
        quality: `ok`, or what is wrong with the photograph.
    """

    probabilities: npt.NDArray[np.float64]
    positive: Labels
    decisions: tuple[str, ...]
    quality: tuple[str, ...]

    @property
    def not_assessable(self) -> int:
        """Photographs that fail the quality gate; they are scored all the same."""
        return sum(verdict != "ok" for verdict in self.quality)


def truth(table: Table, terms: Contract) -> Labels:
    """bool (n,): whether each row's label is one of the contract's positive classes.

    Raises:
        TableError: A label that the contract does not know.
    """
    positive = {label.name: label.positive for label in terms.labels}
    unknown = sorted(set(table.classes) - set(positive))
    if unknown:
        raise TableError(
            f"{table.source}: the model knows the classes {', '.join(positive)}; "
            f"not among them: {', '.join(unknown)}. Rename them in the label column"
        )
    return np.array([positive[row.label] for row in table.rows])


def predict(
    diagnosticians: Sequence[Diagnostician], table: Table, progress: Progress = silent
) -> tuple[Predictions, ...]:
    """Judge every photograph with every bundle; each file is read once.

    A photograph that fails the quality gate is scored like any other, so that all bundles are
    measured on the same ones.

    Raises:
        InputError: Photographs that can't be read, all of them counted and the first named.
    """
    verdicts: list[list[Diagnosis]] = [[] for _ in diagnosticians]
    broken: list[str] = []
    for done, row in enumerate(table.rows, 1):
        try:
            photograph = image.read(table.path(row))
        except ImageError as error:
            broken.append(str(error))
        else:
            for diagnostician, seen in zip(diagnosticians, verdicts, strict=True):
                seen.append(diagnostician.diagnose(photograph))
        progress("judging photographs", done, len(table.rows))
    if broken:
        more = [f"and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
        listed = "\n  ".join(broken[:_SHOWN] + more)
        raise InputError(
            f"{len(broken)} of {len(table.rows)} photographs can't be read; mend them, or take their "
            f"rows out of {table.source}:\n  {listed}"
        )
    return tuple(_collect(d, seen) for d, seen in zip(diagnosticians, verdicts, strict=True))


def flips(full: Predictions, small: Predictions) -> tuple[str, ...]:
    """For each photograph `""`, or how the small model decides otherwise than the float one."""
    words = {(True, False): TO_NEGATIVE, (False, True): TO_POSITIVE}
    pairs = zip(full.positive.tolist(), small.positive.tolist(), strict=True)
    return tuple(words.get(pair, "") for pair in pairs)


def rows(
    table: Table, labels: Labels, full: Predictions, small: Predictions
) -> Iterator[dict[str, str]]:
    """One record for each photograph, with the keys of `COLUMNS`."""
    changes = flips(full, small)
    for i, row in enumerate(table.rows):
        yield {
            "image": row.image,
            "label": row.label,
            "positive": "yes" if labels[i] else "no",
            "prob_float": f"{full.probabilities[i]:.6f}",
            "prob_small": f"{small.probabilities[i]:.6f}",
            "decision_float": full.decisions[i],
            "decision_small": small.decisions[i],
            "quality": full.quality[i],
            "flip": changes[i],
        }


def to_csv(records: Sequence[dict[str, str]]) -> str:
    """The text of `predictions.csv`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _collect(diagnostician: Diagnostician, seen: Sequence[Diagnosis]) -> Predictions:
    probabilities = np.array([d.probability for d in seen])
    return Predictions(
        probabilities=probabilities,
        positive=probabilities >= diagnostician.contract.decision.threshold,
        decisions=tuple(d.verdict.value for d in seen),
        quality=tuple(d.quality.verdict for d in seen),
    )
