"""Measured figures -> rows of text for people: the table on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dermedge.compare import Comparison, Measured, passes
from dermedge.metrics import BINS, Difference, Figures, Interval

MINUS, DASH = "\u2212", "\u2013"  # noqa: RUF001 (typographic on purpose)


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and its interval or explanation if it has one."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one or two models; `change` is the small model against the float one."""

    name: str
    cells: tuple[Cell, ...]
    change: Cell = Cell("")


def interval(figure: Interval, digits: int = 3) -> Cell:
    """A figure with its 95 % interval."""
    low, high = (signed(bound, digits, "") for bound in (figure.low, figure.high))
    return Cell(signed(figure.value, digits, ""), f"{low} to {high}")


def signed(value: float, digits: int = 3, plus: str = "+") -> str:
    """A number with a typographic minus; what rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    zero = float(text) == 0
    return text if zero else f"{MINUS if value < 0 else plus}{text}"


def difference(found: Difference) -> Cell:
    """The AUC difference with its interval and p value."""
    bounds = found.interval
    note = f"{signed(bounds.low)} to {signed(bounds.high)}"
    if found.p_value is not None:
        note += ", p < 0.001" if found.p_value < 0.001 else f", p = {found.p_value:.3f}"
    return Cell(signed(bounds.value), note)


def figure_rows(models: Sequence[Figures]) -> list[Row]:
    """Discrimination and calibration of one model or of a float and a small one."""
    picks: list[tuple[str, Callable[[Figures], Cell]]] = [
        ("Area under the ROC curve (AUC)", lambda f: interval(f.auc)),
        ("Sensitivity at the threshold", lambda f: interval(f.sensitivity)),
        ("Specificity at the threshold", lambda f: interval(f.specificity)),
        ("Balanced accuracy", lambda f: Cell(f"{f.balanced_accuracy:.3f}")),
        (f"Calibration error (ECE, {BINS} bins)", lambda f: Cell(f"{f.ece:.3f}")),
        ("Brier score", lambda f: Cell(f"{f.brier:.3f}")),
    ]
    return [_row(name, models, pick, _delta) for name, pick in picks]


def cost_rows(models: Sequence[Measured]) -> list[Row]:
    """Threshold, sizes, speed and memory of one model or of a float and a small one."""
    limit = _row("Threshold", models, lambda m: Cell(f"{m.figures.threshold:.3f}", m.chosen_for))
    picks: list[tuple[str, Callable[[Measured], float | None], str, int]] = [
        ("Model file", lambda m: m.sizes.model / 1e6, "MB", 2),
        ("Model file, zipped", lambda m: m.sizes.zipped / 1e6, "MB", 2),
        ("Bundle file", lambda m: m.sizes.bundle / 1e6, "MB", 2),
        ("Latency, median", lambda m: m.latency.median_ms, "ms", 1),
        ("Latency, 95th percentile", lambda m: m.latency.p95_ms, "ms", 1),
        ("Cold start to verdict", lambda m: m.start.seconds, "s", 2),
        ("Peak memory", lambda m: m.start.peak_mib, "MiB", 0),
    ]
    return [limit, *(_cost(models, *pick) for pick in picks)]


def comparison_rows(found: Comparison) -> list[Row]:
    """Every row of a comparison."""
    models = (found.full, found.small)
    first, *rest = figure_rows([m.figures for m in models])
    return [Row(first.name, first.cells, difference(found.difference)), *rest, *cost_rows(models)]


def figures_table(names: Sequence[str], rows: Sequence[Row]) -> str:
    """Aligned plain text, a column for each model and one for the change if there are two."""
    head = ["", *names, *(["small against float"] if len(names) > 1 else [])]
    body = [[row.name, *map(_plain, row.cells[: len(names)]), _plain(row.change)] for row in rows]
    lines = [head, *(line[: len(head)] for line in body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def verdict(found: Comparison, margin: float | None) -> str:
    """May the small model stand in for the float one: one sentence, in plain words."""
    bounds = found.difference.interval
    low = f"lower 95 % bound {signed(bounds.low)}"
    if margin is None:
        return (
            f"No margin was asked for: the small model's AUC differs by {signed(bounds.value)} "
            f"from the float model's (95 % interval {signed(bounds.low)} to {signed(bounds.high)})."
        )
    if passes(found, margin):
        return (
            f"The small model may stand in for the float model: its AUC is not lower by more than "
            f"the margin of {margin:g} ({low})."
        )
    return (
        f"The small model may not stand in for the float model: its AUC could be lower by more than "
        f"the margin of {margin:g} ({low})."
    )


def _plain(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _row(
    name: str, models: Sequence, pick: Callable[..., Cell], change: Callable | None = None
) -> Row:
    cells = tuple(pick(model) for model in models)
    return Row(name, cells, change(*cells) if change and len(cells) == 2 else Cell(""))


def _delta(full: Cell, small: Cell) -> Cell:
    # Of the rounded figures, so that the row adds up for whoever checks it.
    return Cell(signed(_number(small.text) - _number(full.text)))


def _number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


def _cost(
    models: Sequence[Measured],
    name: str,
    pick: Callable[[Measured], float | None],
    unit: str,
    digits: int,
) -> Row:
    values = [pick(model) for model in models]
    cells = tuple(Cell("unknown" if v is None else f"{v:.{digits}f} {unit}") for v in values)
    full, small = values[0], values[-1]
    if len(values) < 2 or not full or small is None:
        return Row(name, cells)
    return Row(name, cells, Cell(f"× {small / full:.2f}"))  # noqa: RUF001
