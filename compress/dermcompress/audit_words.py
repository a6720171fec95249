"""An audit -> what the page says of it: rows of text."""

from __future__ import annotations

from dataclasses import dataclass

from dermcompress.audit import Audit, GroupChange, Worst
from dermcompress.paired import Change, McNemar
from dermedge.intervals import Interval
from dermedge.summary import Cell, signed
from dermtrain.evaluation.binary import MINIMUM

NOT_EVALUATED = Cell("\u2013")


@dataclass(frozen=True, slots=True)
class Group:
    """One attribute's rows: name, counts and the cells of each subgroup."""

    title: str
    why: str
    rows: tuple[tuple[str, int, int, tuple[Cell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Everything that the page says of an audit; `least` photographs of a class give a figure."""

    file: str
    least: int
    decisions: str
    classes: tuple[tuple[str, int, tuple[Cell, ...]], ...]
    groups: tuple[Group, ...]
    worst: tuple[str, ...]
    stressed: int
    severity: int
    clean: str
    spoilt: tuple[tuple[str, tuple[Cell, ...]], ...]


def words(audit: Audit, caught: str) -> Words:
    """Put an audit into words; `caught` is "sensitivity" or "accuracy"."""
    strained = audit.stress
    return Words(
        file=audit.file,
        least=MINIMUM,
        decisions=_decisions(audit.decisions),
        classes=tuple(
            (one.name, one.n, (change(one.auc), change(one.found))) for one in audit.classes
        ),
        groups=tuple(
            Group(
                _title(one.name, one.unknown if one.groups else 0),
                one.why,
                tuple(_row(group) for group in one.groups),
            )
            for one in audit.attributes
        ),
        worst=(_worst("AUC", audit.worst_auc), _worst(caught, audit.worst_caught)),
        stressed=strained.n,
        severity=strained.severity,
        clean=f"AUC {strained.full_auc:.3f} (full) and {strained.small_auc:.3f} (small), "
        f"{strained.same.value:.0%} decided alike",
        spoilt=tuple(
            (
                one.name.replace("_", " "),
                (bounds(one.full), bounds(one.small), bounds(one.extra), _share(one.same)),
            )
            for one in strained.spoilt
        ),
    )


def change(found: Change | None) -> Cell:
    """A difference with its interval."""
    return NOT_EVALUATED if found is None else bounds(found.difference)


def bounds(found: Interval) -> Cell:
    """A signed figure with its interval."""
    return Cell(signed(found.value), f"{signed(found.low)} to {signed(found.high)}")


def _share(found: Interval) -> Cell:
    return Cell(f"{found.value:.0%}", f"{found.low:.0%} to {found.high:.0%}")


def _row(group: GroupChange) -> tuple[str, int, int, tuple[Cell, ...]]:
    return group.name, group.n, group.positives, (change(group.auc), change(group.caught))


def _title(name: str, unknown: int) -> str:
    title = name.replace("_", " ").capitalize()
    return f"{title} (not stated for {unknown})" if unknown else title


def _decisions(found: McNemar) -> str:
    p_value = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return (
        f"{found.lost} right decisions are lost and {found.gained} gained; McNemar's exact test "
        f"of whether both models err equally often: {p_value}."
    )


def _worst(figure: str, found: Worst | None) -> str:
    if found is None:
        return f"{figure}: not evaluated, no subgroup is large enough."
    where = f"{found.attribute.replace('_', ' ')} {found.group}"
    cell = bounds(found.change.difference)
    return (
        f"{figure}: {cell.text} ({cell.note}) in {where}, {found.n} photographs; the lowest of "
        f"{found.among} subgroups."
    )
