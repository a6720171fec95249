"""What a labelled table holds: classes, splits, subgroups, groups, licences, sizes and colours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.table import SPLITS, Row, Table
from dermtrain.scan import Scan

AGE = "age"
UNKNOWN = "unknown"
_BANDS = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 200))
# An attribute with more values than this is counted by its most frequent ones.
_VALUES = 12


def counted(values: Iterable[str]) -> dict[str, int]:
    """Value -> how often, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def classes(table: Table) -> dict[str, dict[str, int]]:
    """Split (or `all`) -> class -> photographs."""
    given = counted(row.split for row in table.rows if row.split)
    splits = [*(s for s in SPLITS if s in given), *(s for s in given if s not in SPLITS)]
    found = {"all": counted(row.label for row in table.rows)}
    for split in splits:
        found[split] = counted(row.label for row in table.rows if row.split == split)
    if splits and any(not row.split for row in table.rows):
        found["no split"] = counted(row.label for row in table.rows if not row.split)
    return found


def subgroups(table: Table) -> dict[str, dict[str, dict[str, int]]]:
    """Attribute -> value -> class -> photographs; ages in bands, rare values together.

    Nothing at all is said of an attribute that the table does not have.
    """
    found = {}
    for name in table.attributes:
        values = [_value(row, name) for row in table.rows]
        counts = counted(values)
        kept = set(list(counts)[:_VALUES]) | {UNKNOWN}
        others = f"{len(counts) - len(kept & set(counts))} others"
        values = [value if value in kept else others for value in values]
        names = sorted(set(values), key=lambda v: (v == UNKNOWN, v == others, v))
        found[name] = {
            value: counted(r.label for r, v in zip(table.rows, values, strict=True) if v == value)
            for value in names
        }
    return found


def groups(table: Table) -> dict[str, int]:
    """How many patients and lesions, and photographs of which neither is known."""
    rows = table.rows
    return {
        "patients": len({row.patient_id for row in rows if row.patient_id}),
        "lesions": len({(row.patient_id, row.lesion_id) for row in rows if row.lesion_id}),
        "photographs of which neither is known": sum(
            not (row.patient_id or row.lesion_id) for row in rows
        ),
    }


def licences(table: Table) -> dict[str, int]:
    """Licence -> photographs."""
    return counted(row.licence or UNKNOWN for row in table.rows)


def sizes(seen: Scan) -> dict[str, int]:
    """`width x height` -> photographs, pixels, of those that can be read."""
    return counted(f"{width} x {height}" for width, height in seen.sizes[seen.readable])


def measures(seen: Scan) -> dict[str, dict[str, dict[str, float]]]:
    """Measure -> class (or `all`) -> quartiles, of those that can be read.

    Brightness is the mean of red, green and blue; brightness and contrast lie between 0 and 255.
    Classes that differ much in what has nothing to do with a lesion invite a model to learn that.
    """
    readable, rows = seen.readable, seen.table.rows
    width, height = seen.sizes.T.astype(np.float64)
    values: dict[str, npt.NDArray[Any]] = {
        "shorter side, pixels": np.minimum(width, height),
        "longer side / shorter side": np.maximum(width, height)
        / np.maximum(np.minimum(width, height), 1),
        "brightness": seen.colours.mean(axis=1),
        "red": seen.colours[:, 0],
        "green": seen.colours[:, 1],
        "blue": seen.colours[:, 2],
        "contrast": seen.contrasts,
    }
    labels = np.array([row.label for row in rows])
    members = {"all": readable, **{name: readable & (labels == name) for name in _order(rows)}}
    return {
        measure: {name: _quartiles(array[of]) for name, of in members.items() if of.any()}
        for measure, array in values.items()
    }


def _order(rows: Sequence[Row]) -> list[str]:
    return list(counted(row.label for row in rows))


def _quartiles(values: npt.NDArray[Any]) -> dict[str, float]:
    names = ("min", "lower quartile", "median", "upper quartile", "max")
    found = np.percentile(values.astype(np.float64), (0, 25, 50, 75, 100))
    return {name: round(float(value), 3) for name, value in zip(names, found, strict=True)}


def _value(row: Row, name: str) -> str:
    text = row.attributes.get(name, UNKNOWN)
    if name != AGE or not re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    low, high = next((band for band in _BANDS if float(text) < band[1]), (200, 0))
    return f"{low} or more" if high in (0, 200) else f"{low} to {high - 1}"
