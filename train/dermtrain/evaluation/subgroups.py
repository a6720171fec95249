"""The same figures again for each part of the photographs: sex, age, site, skin tone and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dermedge.progress import Progress, silent
from dermedge.table import Row
from dermtrain.evaluation import binary, multiclass

# Asked for by every reader: named even where the table has nothing.
ALWAYS = ("sex", "age", "site", "skin_tone", "source")
AGE_EDGES = (30.0, 45.0, 60.0, 75.0)
NOTHING = "not evaluated: the table does not state it"
_MOST = 20  # values of an attribute; with more they are names, not groups
_QUARTERS = (0.25, 0.5, 0.75)

# The figures of some rows, bool (n,): None where the model has no such figures.
Measuring = Callable[
    [npt.NDArray[np.bool_]], tuple[binary.Figures | None, multiclass.Figures | None]
]


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Some of the photographs, with the figures that the model has."""

    name: str
    n: int
    binary: binary.Figures | None
    classes: multiclass.Figures | None


@dataclass(frozen=True, slots=True)
class Attribute:
    """One thing that a table states of its photographs.

    Attributes:
        name: The column.
        why: Why nothing was evaluated; empty if something was.
        subgroups: In their natural order.
        unknown: Photographs of which the table does not state it.
    """

    name: str
    why: str
    subgroups: tuple[Subgroup, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class Parting:
    """The photographs, divided by one thing that a table states of them.

    Attributes:
        name: The column.
        why: Why the parts are no groups; empty if they are.
        members: Which photographs belong to each part, bool (n,), in the parts' natural order.
        unknown: Photographs of which the table does not state it.
    """

    name: str
    why: str
    members: Mapping[str, npt.NDArray[np.bool_]]
    unknown: int


def parts(rows: Sequence[Row]) -> tuple[Parting, ...]:
    """What a table states of its photographs, and the parts into which that divides them.

    Those of ALWAYS come first, stated or not; then the diagnosis and all other attributes.
    """
    names = sorted({name for row in rows for name in row.attributes} - {*ALWAYS, "diagnosis"})
    every = {
        name: [
            row.diagnosis if name == "diagnosis" else row.attributes.get(name, "") for row in rows
        ]
        for name in (*ALWAYS, "diagnosis", *names)
    }
    return tuple(
        _parting(name, values) for name, values in every.items() if any(values) or name in ALWAYS
    )


def measure(
    rows: Sequence[Row], figures: Measuring, progress: Progress = silent
) -> tuple[Attribute, ...]:
    """Every figure for every value of every attribute; those of ALWAYS come first."""
    parted = parts(rows)
    total = sum(len(parting.members) for parting in parted)
    done = 0

    def attribute(parting: Parting) -> Attribute:
        nonlocal done
        groups = []
        for group, members in parting.members.items():
            groups.append(Subgroup(group, int(members.sum()), *figures(members)))
            done += 1
            progress("subgroups", done, total)
        return Attribute(parting.name, parting.why, tuple(groups), parting.unknown)

    return tuple(attribute(parting) for parting in parted)


def _parting(name: str, values: Sequence[str]) -> Parting:
    banded, order = _bands(name, values)
    why = _why(order)
    members = {
        group: np.array([value == group for value in banded]) for group in ([] if why else order)
    }
    return Parting(name, why, members, sum(not value for value in banded))


def _why(order: Sequence[str]) -> str:
    """Why nothing can be evaluated; empty if something can."""
    if not order:
        return NOTHING
    if len(order) > _MOST:
        return f"not evaluated: {len(order)} different values are no groups; at most {_MOST} are"
    return ""


def _bands(name: str, values: Sequence[str]) -> tuple[list[str], list[str]]:
    """Name of each row's subgroup, and those names in order; ages and measures fall into bands."""
    numbers = [_number(value) for value in values if value]
    known = [number for number in numbers if number is not None]
    if known and len(known) == len(numbers) and (name == "age" or len(set(known)) > _MOST):
        cuts = AGE_EDGES if name == "age" else np.unique(np.quantile(known, _QUARTERS))
        return _cut(values, [float(cut) for cut in cuts])
    order = sorted(set(values) - {""}, key=lambda value: (_number(value) or 0.0, value))
    return list(values), order


def _cut(values: Sequence[str], cuts: Sequence[float]) -> tuple[list[str], list[str]]:
    """Bands between cuts; each holds its lower cut, not its upper one."""
    inner = [f"{a:g} to under {b:g}" for a, b in pairwise(cuts)]
    names = [f"under {cuts[0]:g}", *inner, f"{cuts[-1]:g} and over"]
    banded = [
        ""
        if (number := _number(value)) is None
        else names[int(np.searchsorted(cuts, number, "right"))]
        for value in values
    ]
    return banded, [name for name in names if name in banded]


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
