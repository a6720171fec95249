"""A ladder -> its table: one line a rung, for the terminal and for the page."""

from __future__ import annotations

from dermcompress.ladder import Climbed, Ladder
from dermedge.delong import Difference
from dermedge.gate import caught
from dermedge.summary import MINUS, TIMES, Cell, difference, interval, size

FULL, CHOSEN, PASSES, FAILS = "full model", "chosen", "passes", "fails"


def to_text(ladder: Ladder) -> str:
    """The table as aligned plain text, and beneath it why rungs fail."""
    lines = [("", *headings(ladder), "")]
    lines += [
        (rung.name, *map(str, cells(ladder, rung)), str(verdict(ladder, rung)))
        for rung in ladder.rungs
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    reasons = [f"{rung.name}: {reason}" for rung in ladder.rungs for reason in why(ladder, rung)]
    return "\n".join([*rows, *([""] if reasons else []), *reasons])


def headings(ladder: Ladder) -> tuple[str, ...]:
    """What the cells of a rung are, in their order."""
    name, _ = caught(ladder.full.measured.figures)
    return (
        "MACs",
        "Parameters",
        "File (zipped)",
        "Latency (times faster)",
        "AUC (interval)",
        "Difference, test",
        "Difference, validation and test",
        name.capitalize(),
        "Flips (to)",
        "ECE",
        "Peak memory",
    )


def cells(ladder: Ladder, rung: Climbed) -> tuple[Cell, ...]:
    """The figures of one rung."""
    found, full = rung.measured, ladder.full.measured
    _, share = caught(found.figures)
    peak = found.start.peak_mib
    faster = full.latency.median_ms / found.latency.median_ms
    return (
        Cell(count(rung.macs)),
        Cell(count(rung.parameters), f"{rung.zeros:.0%} zeros" if rung.zeros >= 0.005 else ""),
        Cell(size(found.sizes.model), size(found.sizes.zipped)),
        Cell(f"{rung.ms:.1f} ms", "" if rung is ladder.full else f"{TIMES} {faster:.2f}"),
        interval(found.figures.auc),
        _bounds(None if rung.comparison is None else rung.comparison.difference),
        _bounds(rung.ranking),
        Cell(f"{share.value:.3f}"),
        _flips(rung),
        Cell(f"{found.figures.ece:.3f}"),
        Cell("unknown" if peak is None else f"{peak:.0f} MiB"),
    )


def verdict(ladder: Ladder, rung: Climbed) -> Cell:
    """What becomes of one rung, in a word or two."""
    if rung is ladder.full:
        return Cell(FULL)
    if rung.failures:
        return Cell(FAILS)
    if rung is ladder.best():
        return Cell(CHOSEN)
    return Cell(PASSES, "beyond the limits" if ladder.meets(rung) else "")


def why(ladder: Ladder, rung: Climbed) -> tuple[str, ...]:
    """Why a rung can't be shipped; empty if it can, and for the full model."""
    return () if rung is ladder.full else (*rung.failures, *ladder.meets(rung))


def count(value: float) -> str:
    """A count with its prefix (powers of 1000): 3.87 G, 25.6 M, 812 k."""
    for unit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:g}"


def _bounds(apart: Difference | None) -> Cell:
    """An AUC difference with its interval; the p value is left to the report of two."""
    if apart is None:
        return Cell("")
    found = difference(apart)
    return Cell(found.text, found.note.partition(",")[0])


def _flips(rung: Climbed) -> Cell:
    if rung.comparison is None:
        return Cell("")
    found = rung.comparison.agreement
    names = ("wrong", "right") if rung.comparison.naming else (MINUS, "+")
    parts = (f"{found.to_negative} {names[0]}", f"{found.to_positive} {names[1]}")
    return Cell(str(found.to_negative + found.to_positive), ", ".join(parts))
