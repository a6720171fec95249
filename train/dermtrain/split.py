"""Photographs -> train, val and test: by patient, else by lesion, else by near-duplicate group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from dermedge.errors import ImageError, TableError
from dermedge.progress import Progress, silent
from dermedge.table import SPLITS, Row, Table, check_splits
from dermtrain import duplicates

_FOLDS = 20
# If near-duplicates would move more than this share, they enter the draw instead of mending it.
_MENDED = 0.02


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

    A split column that gives every row train, val or test, and uses all three, is kept as it is
    (`kit data check` tells whether it tears near-duplicates). Anything else is split anew.

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
    pairs = near_pairs(table, progress)
    groups = group(table, pairs)
    linked = duplicates.components(int(groups.max()) + 1, groups[pairs[:, :2]])[groups]
    names = _draw(table, groups, val, test, seed)
    moved, how = _mend(names, linked), ""
    if moved > _MENDED * len(names):
        names = _draw(table, linked, val, test, seed)
        how = " and by near-duplicates between them"
    elif moved:
        how = f", {moved} moved beside a near-duplicate"
    rows = tuple(replace(row, split=str(n)) for row, n in zip(table.rows, names, strict=True))
    how = f"drawn by {_handles(table)}{how}, stratified by class, seed {seed}"
    return Split(_complete(replace(table, rows=rows)), how)


def near_pairs(table: Table, progress: Progress = silent) -> npt.NDArray[np.int64]:
    """Pairs of rows whose photographs are near-duplicates, int64 (pairs, 3): i < j, bits apart.

    Raises:
        TableError: A photograph can't be read.
    """
    try:
        bits = duplicates.hashes([table.path(row) for row in table.rows], progress)
    except ImageError as error:
        raise TableError(str(error)) from error
    return duplicates.near_pairs(bits)


def group(table: Table, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the groups that are drawn together, int64 (rows,).

    Rows share a group when they share the patient, or, with the patient unknown, the lesion; rows
    of which neither is known when near-duplicates link them.

    Args:
        table: Labelled photographs.
        pairs: As `near_pairs` gives them.
    """
    keys = [_key(row) for row in table.rows]
    unknown = np.array([not key for key in keys], bool)
    among = pairs[unknown[pairs[:, 0]] & unknown[pairs[:, 1]]]
    linked = duplicates.components(len(keys), among)
    first = np.unique(linked, return_index=True)[1]
    keys = [key or f"photograph {first[linked[i]]}" for i, key in enumerate(keys)]
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _draw(
    table: Table, groups: npt.NDArray[np.int64], val: float, test: float, seed: int
) -> npt.NDArray[np.str_]:
    """The name of a split for each row, whole groups together."""
    names = np.full(len(table.rows), "train", dtype="<U5")
    for name, share in (("test", test), ("val", val)):
        pool = np.flatnonzero(names == "train")
        wanted = share * len(names) / len(pool)
        names[pool[_take(table, pool, groups[pool], wanted, seed)]] = name
    return names


def _mend(names: npt.NDArray[np.str_], linked: npt.NDArray[np.int64]) -> int:
    """Bring what near-duplicates link into one split, in place; the rows that moved.

    They move to the split that holds most of their photographs, train if two hold as many. Such
    links between known patients or lesions are rare (mistaken or missing ids), and a few of them
    mend the draw rather than enter it: it stays the one that the ids alone give.
    """
    held = np.unique(np.column_stack([linked.astype(str), names]), axis=0)[:, 0]
    torn = [int(one) for one, splits in Counter(held.tolist()).items() if splits > 1]
    before = names.copy()
    for one in torn:
        counts = Counter(names[linked == one].tolist())
        names[linked == one] = max(SPLITS, key=lambda name: counts[name])
    return int((names != before).sum())


def _key(row: Row) -> str:
    if row.patient_id:
        return f"patient {row.patient_id}"
    return f"lesion {row.lesion_id}" if row.lesion_id else ""


def _handles(table: Table) -> str:
    """What the groups were made of, most frequent first."""
    kinds = Counter((_key(row) or "near-duplicate").split()[0] for row in table.rows)
    return ", ".join(f"{kind} ({n} photographs)" for kind, n in kinds.most_common())


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
