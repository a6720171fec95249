"""Photographs -> train, val and test: by patient, else by lesion, else by near-duplicate group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from dermedge.errors import TableError
from dermedge.progress import Progress, silent
from dermedge.table import SPLITS, Row, Table, check_splits

# Near-duplicates: two photographs whose 256-bit perceptual hashes differ in at most so many bits.
NEAR_BITS = 16
_HASH_SIDE = 16
_FOLDS = 20


@dataclass(frozen=True, slots=True)
class Split:
    """A table whose every row lies in train, val or test, and how that came about."""

    table: Table
    how: str


def split(
    table: Table,
    val: float,
    test: float,
    seed: int,
    anew: bool = False,
    progress: Progress = silent,
) -> Split:
    """Give every row a split; one patient, lesion or near-duplicate group never lies in two.

    A split column that gives every row train, val or test, and uses all three, is kept as it is.
    Anything else is split anew.

    Args:
        table: Labelled photographs.
        val: Share of the photographs for validation, above 0.
        test: Share of the photographs for the test, above 0.
        seed: Of the shuffle.
        anew: Ignore the split column.
        progress: Told of the photographs hashed.

    Raises:
        TableError: A patient or lesion lies in two given splits, or there are too few groups of a
            class to put some into each split.
    """
    if not anew:
        check_splits(table, "patient")
        if {row.split for row in table.rows} == set(SPLITS):
            check_splits(table, "lesion")
            return Split(_complete(table), "as given by the table")
    groups = group(table, progress)
    names = np.full(len(table.rows), "train", dtype="<U5")
    for name, share in (("test", test), ("val", val)):
        pool = np.flatnonzero(names == "train")
        wanted = share * len(names) / len(pool)
        names[pool[_take(table, pool, groups[pool], wanted, seed)]] = name
    rows = tuple(replace(row, split=str(n)) for row, n in zip(table.rows, names, strict=True))
    how = f"drawn by {_handles(table)}, stratified by class, seed {seed}"
    return Split(_complete(replace(table, rows=rows)), how)


def group(table: Table, progress: Progress = silent) -> npt.NDArray[np.int64]:
    """Number the groups that must stay together, int64 (rows,).

    Rows share a group when they share the patient, or, with the patient unknown, the lesion; rows
    of which neither is known when their photographs are near-duplicates.
    """
    keys = [_key(row) for row in table.rows]
    unknown = [i for i, key in enumerate(keys) if not key]
    for i, leader in zip(unknown, _near_duplicates(table, unknown, progress), strict=True):
        keys[i] = f"photograph {leader}"
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _key(row: Row) -> str:
    if row.patient_id:
        return f"patient {row.patient_id}"
    return f"lesion {row.lesion_id}" if row.lesion_id else ""


def _handles(table: Table) -> str:
    """What the groups were made of, most frequent first."""
    kinds = Counter((_key(row) or "near-duplicate").split()[0] for row in table.rows)
    return ", ".join(f"{kind} ({n} photographs)" for kind, n in kinds.most_common())


def _near_duplicates(table: Table, indices: Sequence[int], progress: Progress) -> list[int]:
    """For each of the rows, the first row that near-duplicates link it to (itself if none)."""
    bits = np.zeros((len(indices), _HASH_SIDE**2 // 8), np.uint8)
    for done, i in enumerate(indices):
        bits[done] = _hash(table, table.rows[i])
        progress("near-duplicates", done + 1, len(indices))
    leaders = np.arange(len(indices))
    for i in range(len(indices)):
        distance = np.unpackbits(bits[i:] ^ bits[i], axis=1).sum(axis=1)
        joined = np.unique(leaders[i:][distance <= NEAR_BITS])  # groups that meet in this row
        leaders[np.isin(leaders, joined)] = joined[0]
    return [indices[int(leader)] for leader in leaders]


def _hash(table: Table, row: Row) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(table.path(row)) as photograph:
            photograph.draft("L", (256, 256))
            return np.packbits(imagehash.phash(photograph, hash_size=_HASH_SIDE).hash)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TableError(f"{table.path(row)} can't be read: {error}") from error


def _take(
    table: Table, pool: npt.NDArray, groups: npt.NDArray, share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Mark about `share` of the pool, whole groups, with the class balance of the pool."""
    labels = np.array([table.rows[i].label for i in pool])
    rarest = min(len(set(groups[labels == name])) for name in set(labels))
    folds = min(_FOLDS, rarest)
    if folds < 2 or set(labels) != set(table.classes):
        raise TableError(
            f"{table.source}: too few patients, lesions or photographs of a class to split "
            f"({rarest} of the rarest); at least 2 in each split are needed"
        )
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [part for _, part in folding.split(labels, labels, groups)]
    taken = np.zeros(len(pool), bool)
    for part in parts[: max(1, min(folds - 1, round(share * folds)))]:
        taken[part] = True
    return taken


def _complete(table: Table) -> Table:
    """Each split holds each class."""
    for name in SPLITS:
        lacking = set(table.classes) - set(table.part(name).classes)
        if lacking:
            raise TableError(
                f"{table.source}: split {name} has no photograph of {', '.join(sorted(lacking))}; "
                "give more photographs, or --resplit"
            )
    return table
