"""A comparison -> one self-contained HTML page, `compare.json` and `predictions.csv`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dermedge import atomic, page, summary
from dermedge.compare import TO_NEGATIVE, TO_WRONG, Comparison, passes, to_csv

PAGE, FIGURES, ROWS = "report.html", "compare.json", "predictions.csv"


def as_dict(found: Comparison, margin: float | None = None) -> dict[str, Any]:
    """What `compare.json` holds."""
    gate = None if margin is None else {"margin": margin, "passed": passes(found, margin)}
    return {"gate": gate, **found.as_dict()}


def write(found: Comparison, folder: Path, margin: float | None = None) -> Path:
    """Write the page, the figures and the predictions, each whole or not at all.

    Args:
        found: The comparison.
        folder: Made if absent; files of the same names are replaced.
        margin: The gate's margin, if one was asked for.

    Returns:
        The page's path.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
        StorageError: The folder can't be written.
    """
    text = render(found, margin)
    atomic.write_text(folder / FIGURES, json.dumps(as_dict(found, margin), indent=2) + "\n")
    atomic.write_text(folder / ROWS, to_csv(found.rows()))
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def render(found: Comparison, margin: float | None = None) -> str:
    """The page's HTML; it asks for no other file and no network.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
    """
    rows, flips = summary.comparison_rows(found), _flips(found)
    return page.render(
        "compare.html.j2",
        made_up=found.setting.made_up,
        found=found,
        gate=None if margin is None else passes(found, margin),
        verdict=summary.verdict(found, margin),
        tiles=_tiles(found, rows),
        rows=rows,
        share=summary.interval(found.agreement.share),
        plots=_plots(found),
        flips=flips,
        lost=[row for row in flips if _lost(row)],
    )


def _plots(found: Comparison) -> list[dict[str, Any]]:
    """Title, caption and SVG element of each plot."""
    from markupsafe import Markup

    from dermedge import plots

    roc = (
        "Discrimination",
        "ROC curves. The disc (float) and the diamond (small) mark the frozen thresholds.",
    )
    named = (
        "Naming",
        "The surest photographs first. The disc (float) and the diamond (small) mark the frozen "
        "thresholds, from which on a class is named.",
    )
    texts = {
        (plots.naming if found.naming else plots.roc): named if found.naming else roc,
        plots.scatter: (
            "Agreement",
            "Each photograph's probability. The lines are the thresholds; rings mark the "
            "photographs on which the two models decide differently.",
        ),
        plots.reliability: (
            "Calibration",
            "Bins of equal mass with 95 % intervals. On the dotted line, probabilities mean what "
            "they say.",
        ),
        plots.latency: (
            "Speed",
            "Every timed run, the two models taking turns. The box spans the middle half; its "
            "thick line is the median.",
        ),
    }
    return [
        # The element is ours, and matplotlib has escaped what it was given.
        {"title": title, "caption": caption, "svg": Markup(draw(found))}
        for draw, (title, caption) in texts.items()
    ]


def _flips(found: Comparison) -> list[dict[str, str]]:
    """Photographs on which the decision changes, those that the small model loses first."""
    changed = [row for row in found.rows() if row["flip"]]
    return sorted(
        changed,
        key=lambda row: (row.get("positive") == "no", row["flip"] not in (TO_NEGATIVE, TO_WRONG)),
    )


def _lost(row: dict[str, str]) -> bool:
    """Whether the small model loses what the float model finds."""
    return (row.get("positive"), row["flip"]) in (("yes", TO_NEGATIVE), (None, TO_WRONG))


def _tiles(found: Comparison, rows: list[summary.Row]) -> list[tuple[str, summary.Cell]]:
    """The four figures that most readers come for."""
    agreed = found.agreement
    differ = round((1 - agreed.share.value) * found.full.figures.n)
    changed = f"{differ} of {found.full.figures.n} differ"
    named = {row.name: row for row in rows}

    def ratio(name: str) -> summary.Cell:
        full, small = named[name].cells
        return summary.Cell(named[name].change.text, f"{full.text} to {small.text}")

    return [
        ("AUC, small against float", rows[0].change),
        (
            "Same top class" if found.naming else "Same decision",
            summary.Cell(f"{agreed.share.value:.1%}", changed),
        ),
        ("Model file", ratio("Model file")),
        ("Latency", ratio("Latency, median")),
    ]
