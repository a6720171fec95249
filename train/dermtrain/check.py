"""A labelled table and its photographs -> what is wrong with them, and what they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.errors import TableError, some
from dermedge.progress import Progress, silent
from dermedge.table import SPLITS, Row, Table
from dermtrain import duplicates
from dermtrain.findings import (
    KINDS,
    NEAR,
    SAME_FILE,
    TORN_DUPLICATES,
    TORN_LESION,
    TORN_PATIENT,
    TWO_LABELS_FILE,
    TWO_LABELS_LESION,
    TWO_LABELS_NEAR,
    UNREADABLE,
    Finding,
    Kind,
)
from dermtrain.scan import Scan, scan


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
    findings += _two_labels(rows, lesions)
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
            names = [describe(checked.table, finding) for finding in found]
            parts.append(f"{kind.title.lower()}: {some(names, ';')}")
    if parts:
        raise TableError("\n  ".join([f"{checked.table.source} must not be used as it is", *parts]))


def describe(table: Table, finding: Finding) -> str:
    """One finding in a line: what it is about, and the photographs with their splits."""
    if finding.kind is UNREADABLE:
        return finding.name
    rows = [table.rows[number] for number in finding.rows]
    names = [f"{row.image}{f' ({row.split})' if row.split else ''}" for row in rows]
    about = f"{finding.name}: " if finding.name else ""
    return f"{about}{some(names)}"


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


def _two_labels(rows: Sequence[Row], keys: Sequence[str]) -> list[Finding]:
    return [
        Finding(TWO_LABELS_LESION, key, tuple(numbers))
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
