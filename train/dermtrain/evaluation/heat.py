"""Losses under corruptions -> heat tables for the page."""

from __future__ import annotations

from dataclasses import dataclass

from dermtrain.evaluation.robustness import TITLES, Cell, Robustness

_DEEPEST = 0.3  # the loss that has the deepest shade


@dataclass(frozen=True, slots=True)
class Heat:
    """One figure under every corruption.

    Attributes:
        title: The figure.
        clean: Its value for the photographs as they are.
        rows: Of each corruption the name, and for each severity the value, the depth of its shade
            (0 to 1), and whether it differs by more than chance.
        mean: Of all of them.
    """

    title: str
    clean: str
    rows: tuple[tuple[str, tuple[tuple[str, float, bool], ...]], ...]
    mean: str


def tables(found: Robustness | None) -> list[Heat]:
    """One table for each figure; none if nothing was measured."""
    return [_table(found, key) for key in found.clean.figures] if found is not None else []


def _table(found: Robustness, key: str) -> Heat:
    """The loss is what got worse: less of everything, but more of a calibration error."""
    sign = 1 if key == "ece" else -1
    names = list(dict.fromkeys(one.name for one in found.cells))

    def entry(one: Cell) -> tuple[str, float, bool]:
        loss = sign * (one.figures[key] - found.clean.figures[key])
        change = one.auc_change if key == "auc" else None
        sure = change is not None and (change.high < 0 or change.low > 0)
        return f"{one.figures[key]:.3f}", min(1.0, max(0.0, loss / _DEEPEST)), sure

    rows = [
        (name.replace("_", " "), tuple(entry(one) for one in found.cells if one.name == name))
        for name in names
    ]
    return Heat(
        TITLES[key], f"{found.clean.figures[key]:.3f}", tuple(rows), f"{found.mean(key):.3f}"
    )
