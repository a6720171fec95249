"""Measured figures -> rows of text for people, on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dermedge.classes import ClassFigures
from dermedge.metrics import BINS, Difference, Figures, Interval
from dermedge.topclass import TopFigures

if TYPE_CHECKING:
    from dermedge.compare import Comparison, Measured

MINUS, TIMES = "\u2212", "\u00d7"


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and its interval or explanation if it has one."""

    text: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.note})" if self.note else self.text


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one or two models; `change` is the small model against the float one."""

    name: str
    cells: tuple[Cell, ...]
    change: Cell = Cell("")


def signed(value: float, digits: int = 3, plus: str = "+") -> str:
    """A number with a typographic minus; what rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else plus}{text}"


def interval(figure: Interval) -> Cell:
    """A share or an AUC with its 95 % interval."""
    return Cell(f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")


def difference(found: Difference) -> Cell:
    """The AUC difference with its interval and p value."""
    bounds = found.interval
    note = f"{signed(bounds.low)} to {signed(bounds.high)}"
    if found.p_value is not None:
        note += ", p < 0.001" if found.p_value < 0.001 else f", p = {found.p_value:.3f}"
    return Cell(signed(bounds.value), note)


def size(count: float) -> str:
    """Bytes in kB or MB (powers of 1000)."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def figures_table(figures: Figures | TopFigures) -> str:
    """The figures of one model, as aligned plain text."""
    top = isinstance(figures, TopFigures)
    count = f"{figures.classes} classes" if top else f"{figures.positives} positive"
    rows = [
        Row("Photographs", (Cell(str(figures.n), count),)),
        Row("Threshold", (Cell(f"{figures.threshold:.3f}"),)),
        *_rows([figures]),
    ]
    return _text([[row.name, *map(str, row.cells)] for row in rows])


def classes_table(figures: ClassFigures) -> str:
    """How well one model tells the classes apart, as aligned plain text."""
    rows = [
        Row("Photographs", (Cell(str(figures.n)),)),
        Row("Likeliest class is right", (interval(figures.top1),)),
        Row("Mean share found of a class", (Cell(f"{figures.balanced:.3f}"),)),
    ]
    return _text([[row.name, *map(str, row.cells)] for row in rows])


def comparison_table(found: Comparison) -> str:
    """Every figure of both models, as aligned plain text."""
    head = ["", "float", "small", "small against float"]
    rows = comparison_rows(found)
    agreed = found.agreement
    names = ("wrong", "right") if found.naming else ("negative", "positive")
    flips = f"{agreed.to_negative} to {names[0]}, {agreed.to_positive} to {names[1]}"
    same = "Same top class" if found.naming else "Same decision"
    body = [[row.name, *map(str, row.cells), str(row.change)] for row in rows]
    return _text(
        [
            head,
            *body,
            [same, "", "", str(interval(agreed.share))],
            ["Flips", "", "", flips],
        ]
    )


def comparison_rows(found: Comparison) -> list[Row]:
    """Every row of a comparison: what the models are worth, then what they cost."""
    models = (found.full, found.small)
    first, *rest = _rows([m.figures for m in models])
    limits = tuple(Cell(f"{m.figures.threshold:.3f}", m.chosen_for) for m in models)
    return [
        Row(first.name, first.cells, difference(found.difference)),
        *rest,
        Row("Threshold, frozen", limits),
        *_cost_rows(models),
    ]


def verdict(found: Comparison, margin: float | None) -> str:
    """May the small model stand in for the float one: one sentence, in plain words."""
    bounds = found.difference.interval
    if margin is None:
        return (
            f"No margin was asked for. The small model's AUC differs from the float model's by "
            f"{signed(bounds.value)} (95 % interval {signed(bounds.low)} to {signed(bounds.high)})."
        )
    low = f"lower 95 % bound of the difference: {signed(bounds.low)}"
    if bounds.low >= -margin:
        return (
            "The small model may stand in for the float model: its AUC is lower by no more than "
            f"the margin of {margin:g} ({low})."
        )
    return (
        "The small model may not stand in for the float model: its AUC may be lower by more than "
        f"the margin of {margin:g} ({low})."
    )


def _rows(models: Sequence[Figures | TopFigures]) -> list[Row]:
    top = [m for m in models if isinstance(m, TopFigures)]
    return _top_rows(top) if top else _figure_rows([m for m in models if isinstance(m, Figures)])


def _top_rows(models: Sequence[TopFigures]) -> list[Row]:
    """The figures of models without positive classes."""

    def row(name: str, pick: Callable[[TopFigures], Interval | float | None]) -> Row:
        found = [pick(m) for m in models]
        cells = tuple(
            interval(f) if isinstance(f, Interval) else Cell("none" if f is None else f"{f:.3f}")
            for f in found
        )
        values = [f.value if isinstance(f, Interval) else f for f in found]
        known = [v for v in values if v is not None]
        return Row(name, cells, Cell(signed(known[1] - known[0]) if len(known) == 2 else ""))

    return [
        row("AUC, mean of classes", lambda m: m.auc),
        row("Accuracy", lambda m: m.accuracy),
        row("Among the first three", lambda m: m.top3),
        row("Balanced accuracy", lambda m: m.balanced_accuracy),
        row("Named", lambda m: m.named),
        row("Accuracy of the named", lambda m: m.named_accuracy),
        row(f"Calibration error ({BINS} bins)", lambda m: m.ece),
        row("Brier score", lambda m: m.brier),
    ]


def _figure_rows(models: Sequence[Figures]) -> list[Row]:
    def row(name: str, cells: Sequence[Cell], values: Sequence[float]) -> Row:
        change = Cell(signed(values[1] - values[0])) if len(values) > 1 else Cell("")
        return Row(name, tuple(cells), change)

    def with_interval(name: str, pick: Callable[[Figures], Interval]) -> Row:
        found = [pick(m) for m in models]
        return row(name, [interval(f) for f in found], [f.value for f in found])

    def plain(name: str, pick: Callable[[Figures], float]) -> Row:
        found = [pick(m) for m in models]
        return row(name, [Cell(f"{f:.3f}") for f in found], found)

    return [
        with_interval("AUC", lambda m: m.auc),
        with_interval("Sensitivity", lambda m: m.sensitivity),
        with_interval("Specificity", lambda m: m.specificity),
        plain("Balanced accuracy", lambda m: m.balanced_accuracy),
        plain(f"Calibration error ({BINS} bins)", lambda m: m.ece),
        plain("Brier score", lambda m: m.brier),
    ]


def _cost_rows(models: tuple[Measured, Measured]) -> list[Row]:
    def row(
        name: str, pick: Callable[[Measured], float | None], show: Callable[[float], str]
    ) -> Row:
        full, small = (pick(m) for m in models)
        cells = tuple(Cell("unknown" if v is None else show(v)) for v in (full, small))
        ratio = f"{TIMES} {small / full:.2f}" if full and small is not None else ""
        return Row(name, cells, Cell(ratio))

    return [
        row("Model file", lambda m: m.sizes.model, size),
        row("Model file, zipped", lambda m: m.sizes.zipped, size),
        row("Bundle file", lambda m: m.sizes.bundle, size),
        row("Latency, median", lambda m: m.latency.median_ms, "{:.1f} ms".format),
        row("Latency, 95th percentile", lambda m: m.latency.p95_ms, "{:.1f} ms".format),
        row("Cold start to verdict", lambda m: m.start.seconds, "{:.2f} s".format),
        row("Peak memory", lambda m: m.start.peak_mib, "{:.0f} MiB".format),
    ]


def _text(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
