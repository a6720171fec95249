"""A labelled table and its photographs -> what is wrong with them, and what they are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.errors import TableError
from dermedge.progress import Progress, silent
from dermedge.table import SPLITS, Row, Table
from dermtrain import duplicates
from dermtrain.scan import Scan, scan

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: In check.json.
        title: For people.
        why: What it does to a model or its figures.
        error: Whether the table must not be trained on or reported from as it is.
    """

    name: str
    title: str
    why: str
    error: bool


UNREADABLE = Kind(
    "unreadable",
    "Unreadable photographs",
    "They can't be prepared: kit train refuses the table.",
    True,
)
TORN_PATIENT = Kind(
    "patient_in_two_splits",
    "Patients in two splits",
    "The test would ask about patients that the training has seen.",
    True,
)
TORN_LESION = Kind(
    "lesion_in_two_splits",
    "Lesions in two splits",
    "The test would ask about lesions that the training has seen.",
    True,
)
TORN_DUPLICATES = Kind(
    "near_duplicates_in_two_splits",
    "Near-duplicates in two splits",
    "The test would ask about photographs that the training has seen.",
    True,
)
TWO_LABELS_FILE = Kind(
    "same_file_with_two_labels",
    "The same file with two labels",
    "One of the labels is wrong.",
    True,
)
TWO_LABELS_NEAR = Kind(
    "near_duplicates_with_two_labels",
    "Near-duplicates with two labels",
    "Either a label is wrong, or two lesions look alike: to be looked at.",
    False,
)
TWO_LABELS_LESION = Kind(
    "lesion_with_two_labels",
    "Lesions with two labels",
    "A lesion may change, or a label is wrong: to be looked at.",
    False,
)
SAME_FILE = Kind(
    "same_file",
    "The same file more than once",
    "Copies count more than once in training and in every figure.",
    False,
)
NEAR = Kind(
    "near_duplicates",
    "Near-duplicates",
    "Nearly the same photograph, scaled, saved or cut anew; they count more than once.",
    False,
)
KINDS = (
    *(UNREADABLE, TORN_PATIENT, TORN_LESION, TORN_DUPLICATES, TWO_LABELS_FILE),
    *(TWO_LABELS_NEAR, TWO_LABELS_LESION, SAME_FILE, NEAR),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: One of KINDS.
        name: The patient, the lesion, the file, or what ties the photographs together.
        rows: Numbers of the rows it is about.
    """

    kind: Kind
    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong, and what was looked at."""

    scan: Scan
    findings: tuple[Finding, ...]

    @property
    def table(self) -> Table:
        """The table that was checked."""
        return self.scan.table

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind is kind)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings for which the table must not be used as it is."""
        return tuple(finding for finding in self.findings if finding.kind.error)


def check(table: Table, progress: Progress = silent) -> Check:
    """Look at every photograph and at what the table says about it.

    Args:
        table: As `dermedge.table.read` gives it: its photographs are there, no row is twice.
        progress: Told of the photographs read.
    """
    seen = scan(table, progress)
    findings = [
        Finding(UNREADABLE, reason, (number,)) for number, reason in sorted(seen.failures.items())
    ]
    rows = table.rows
    findings += _torn(rows, TORN_PATIENT, [row.patient_id for row in rows])
    lesions = [_lesion(row) for row in rows]
    findings += _torn(rows, TORN_LESION, lesions)
    findings += _two_labels(rows, TWO_LABELS_LESION, lesions)
    findings += _of_files(seen)
    findings += _of_near_duplicates(seen)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return Check(seen, tuple(sorted(findings, key=lambda finding: order[finding.kind])))


def refuse_errors(checked: Check) -> None:
    """Refuse a table that must not be used as it is.

    Raises:
        TableError: With the first few findings of each kind.
    """
    parts = []
    for kind in KINDS:
        found = checked.of(kind) if kind.error else ()
        if found:
            names = [describe(checked.table, finding) for finding in found[:_SHOWN]]
            more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            parts.append(f"{kind.title.lower()}: {'; '.join(names)}{more}")
    if parts:
        raise TableError(f"{checked.table.source}: {'. '.join(parts)}")


def describe(table: Table, finding: Finding) -> str:
    """One finding in a line: what it is about, and the photographs with their splits."""
    if finding.kind is UNREADABLE:
        return finding.name
    rows = [table.rows[number] for number in finding.rows]
    shown = [f"{row.image}{f' ({row.split})' if row.split else ''}" for row in rows[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    about = f"{finding.name}: " if finding.name else ""
    return f"{about}{', '.join(shown)}{more}"


def _lesion(row: Row) -> str:
    """Lesion numbers may repeat from patient to patient, so they count within one only."""
    return f"{row.patient_id} {row.lesion_id}".strip() if row.lesion_id else ""


def _groups(keys: Iterable[Hashable]) -> dict[Any, list[int]]:
    """Known key -> its rows, where there are several."""
    found: dict[Any, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        if key:
            found[key].append(number)
    return {key: numbers for key, numbers in found.items() if len(numbers) > 1}


def _splits(rows: Sequence[Row], numbers: Iterable[int]) -> set[str]:
    return {rows[i].split for i in numbers} & set(SPLITS)


def _labels(rows: Sequence[Row], numbers: Iterable[int]) -> set[str]:
    return {rows[i].label for i in numbers}


def _torn(rows: Sequence[Row], kind: Kind, keys: Sequence[str]) -> list[Finding]:
    return [
        Finding(kind, key, tuple(numbers))
        for key, numbers in _groups(keys).items()
        if len(_splits(rows, numbers)) > 1
    ]


def _two_labels(rows: Sequence[Row], kind: Kind, keys: Sequence[str]) -> list[Finding]:
    return [
        Finding(kind, key, tuple(numbers))
        for key, numbers in _groups(keys).items()
        if len(_labels(rows, numbers)) > 1
    ]


def _of_files(seen: Scan) -> list[Finding]:
    findings = []
    for numbers in _groups(seen.digests).values():
        findings.append(Finding(SAME_FILE, "", tuple(numbers)))
        if len(_labels(seen.table.rows, numbers)) > 1:
            findings.append(Finding(TWO_LABELS_FILE, "", tuple(numbers)))
    return findings


def _of_near_duplicates(seen: Scan) -> list[Finding]:
    """Groups that look alike and are not all one file; torn groups even if they are."""
    rows, readable = seen.table.rows, np.flatnonzero(seen.readable)
    pairs = duplicates.near_pairs(seen.hashes[readable])
    groups = duplicates.components(len(readable), pairs)
    findings = []
    for one in np.unique(groups[pairs[:, 0]]):
        members = np.flatnonzero(groups == one)
        apart = pairs[groups[pairs[:, 0]] == one][:, 2]
        name = _apart(apart)
        numbers = tuple(int(i) for i in readable[members])
        one_file = len({seen.digests[i] for i in numbers}) == 1
        if len(_splits(rows, numbers)) > 1:
            findings.append(Finding(TORN_DUPLICATES, name, numbers))
        if not one_file:
            findings.append(Finding(NEAR, name, numbers))
        if not one_file and len(_labels(rows, numbers)) > 1:
            findings.append(Finding(TWO_LABELS_NEAR, name, numbers))
    return findings


def _apart(bits: npt.NDArray[np.int64]) -> str:
    low, high = int(bits.min()), int(bits.max())
    return f"{low if low == high else f'{low} to {high}'} of 256 bits apart"


def counted(values: Iterable[str]) -> dict[str, int]:
    """Value -> how often, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
