"""Photographs without labels -> those that the full model may teach from: none like a held-out one.

They teach only: nothing is measured, calibrated or chosen on them. A photograph is left out if it
is, or nearly is (as in `kit data check`), one of validation or test, or if the table that it comes
from knows its patient or lesion and that is one of theirs: what the small model is judged on must
be new to it. And it is left out if training or another one shows the same, for it adds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError
from dermedge.progress import Progress, silent
from dermedge.table import Row, Table
from dermtrain import duplicates

_TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Photographs without labels that may be learnt from.

    Attributes:
        tables: They, by where they come from; no table is empty.
        held_out: How many more there are that were left out for one of validation or test.
        known: How many were left out since training or another one shows the same.
    """

    tables: tuple[Table, ...] = ()
    held_out: int = 0
    known: int = 0

    @property
    def count(self) -> int:
        """How many may be learnt from."""
        return sum(len(table.rows) for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """For the contract's provenance."""
        return {
            "count": self.count,
            "from": [table.source.resolve().name for table in self.tables],
            "licence": ", ".join(sorted({table.licences for table in self.tables})),
            "left_out": {"held_out": self.held_out, "known": self.known},
        }

    def __str__(self) -> str:
        """How many may be learnt from and how many not, in one line."""
        return (
            f"unlabelled photographs: {self.count} to learn from; {self.held_out} left out for "
            f"being like those of validation or test, {self.known} that training or another one "
            "shows already"
        )


def choose(tables: Sequence[Table], labelled: Table, progress: Progress = silent) -> Unlabelled:
    """Choose what may be learnt from.

    Args:
        tables: Unlabelled photographs, as `dermedge.table.read_unlabelled` gives them.
        labelled: The run's photographs, each in a split.
        progress: Told of the photographs hashed.

    Raises:
        InputError: Photographs that can't be read, or none may be learnt from.
    """
    if not tables:
        return Unlabelled()
    every, own = (labelled, *tables), len(labelled.rows)
    bits = duplicates.hashes([table.path(row) for table in every for row in table.rows], progress)
    pairs = np.concatenate([duplicates.near_pairs(bits)[:, :2], _of_one_patient(every)])
    groups = duplicates.components(len(bits), pairs)
    judged = [row.split != _TRAIN for row in labelled.rows]
    held_out = np.isin(groups, groups[:own][judged])
    new = np.zeros(len(bits), bool)
    new[np.unique(groups, return_index=True)[1]] = True  # the first of each; the labelled lead
    new &= ~held_out
    marks = iter(new[own:].tolist())
    kept = [replace(t, rows=tuple(row for row in t.rows if next(marks))) for t in tables]
    known = ~new & ~held_out
    found = Unlabelled(
        tuple(table for table in kept if table.rows),
        int(held_out[own:].sum()),
        int(known[own:].sum()),
    )
    if not found.tables:
        where = ", ".join(str(table.source) for table in tables)
        raise InputError(f"{where}: nothing new to learn from; {found}")
    return found


def _of_one_patient(tables: Sequence[Table]) -> npt.NDArray[np.int64]:
    """Pairs of a held-out photograph of the first table and one of the others, int64 (pairs, 2)."""
    numbered = list(enumerate(row for table in tables for row in table.rows))
    own = len(tables[0].rows)
    judged: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for i, row in numbered[:own]:
        if row.split != _TRAIN:
            for owner in {row.patient_id, row.lesion_id} - {""}:
                judged[owner].append((i, row))
    pairs = [
        (i, j)
        for j, row in numbered[own:]
        for owner in {row.patient_id, row.lesion_id} - {""}
        for i, other in judged[owner]
        if _related(row, other)
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _related(row: Row, other: Row) -> bool:
    """Whether two photographs may show one patient, or one lesion.

    Lesion numbers may repeat from patient to patient; where a table does not know the patient, the
    number alone has to do: to leave out too much is better than to teach what is judged.
    """
    if row.patient_id and other.patient_id:
        return row.patient_id == other.patient_id
    return bool(row.lesion_id) and row.lesion_id == other.lesion_id
