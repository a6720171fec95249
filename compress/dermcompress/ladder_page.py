"""A ladder and the audit of the rung that is shipped -> one HTML page and `ladder.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermcompress import audit_words, ladder_table
from dermcompress.audit import Audit
from dermcompress.ladder import Climbed, Ladder
from dermedge import atomic, page
from dermedge.compare import TO_NEGATIVE, TO_POSITIVE, TO_RIGHT, TO_WRONG
from dermedge.gate import caught
from dermedge.summary import size

PAGE, FIGURES = "ladder.html", "ladder.json"
_PICTURES = 12  # photographs shown of each direction in which decisions change


@dataclass(frozen=True, slots=True)
class Direction:
    """Photographs whose decision changes in one direction; `hidden` more are not shown."""

    title: str
    pictures: tuple[dict[str, str], ...]
    hidden: int


def write(ladder: Ladder, folder: Path, shown: Climbed | None, audit: Audit | None) -> Path:
    """Write the page and the figures, each whole or not at all.

    Args:
        ladder: All rungs.
        folder: Made if absent; files of the same names are replaced.
        shown: The rung whose flips and audit are shown: the shipped one; None shows none.
        audit: Of that rung.

    Returns:
        The page's path.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
        StorageError: The folder can't be written.
    """
    text = render(ladder, shown, audit)
    figures = {**ladder.as_dict(), "audit": None if audit is None else audit.as_dict()}
    atomic.write_text(folder / FIGURES, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def render(ladder: Ladder, shown: Climbed | None, audit: Audit | None) -> str:
    """The page's HTML; it asks for no other file and no network.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
    """
    page.require_installed()
    from markupsafe import Markup

    from dermcompress import ladder_plot

    name, _ = caught(ladder.full.measured.figures)
    return page.render(
        "ladder.html.j2",
        "dermcompress",
        made_up=ladder.setting.made_up,
        ladder=ladder,
        setting=ladder.setting,
        figures=ladder.full.measured.figures,
        verdict=verdict(ladder),
        # The element is ours, and matplotlib has escaped what it was given.
        picture=Markup(ladder_plot.pareto(ladder)),
        headings=ladder_table.headings(ladder),
        rows=[
            (rung, ladder_table.cells(ladder, rung), ladder_table.verdict(ladder, rung))
            for rung in ladder.rungs
        ],
        reasons=[(rung, ladder_table.why(ladder, rung)) for rung in ladder.small],
        runtimes=_runtimes(ladder),
        caught=name,
        shown=shown,
        directions=() if shown is None else directions(shown),
        audit=None if audit is None else audit_words.words(audit, name),
    )


def verdict(ladder: Ladder) -> str:
    """Which rung is shipped and what it gains, or why none is: in plain words."""
    best, full = ladder.best(), ladder.full
    if best is None:
        # Every reason of every rung has its own place on the page.
        words = ladder.refusal() if ladder.nearest() else "no rung passes the gate; why, see below."
        return words[0].upper() + words[1:]
    sizes = (rung.measured.sizes.model for rung in (best, full))
    return (
        f"{best.name} may stand in for the full model: {full.ms / best.ms:.1f} times as fast, "
        f"{' instead of '.join(map(size, sizes))}, and it keeps every rule of the gate."
    )


def directions(rung: Climbed) -> tuple[Direction, ...]:
    """The photographs on which a rung decides otherwise than the full model, as small pictures.

    What the rung loses comes first. Directions without photographs are left out.
    """
    from dermtrain.check_page import thumbnail

    if rung.comparison is None:
        return ()
    found, table = rung.comparison, rung.comparison.full.predictions.table
    changed = [
        (row, table.path(record))
        for row, record in zip(found.rows(), table.rows, strict=True)
        if row["flip"]
    ]
    each = []
    for flip in (TO_NEGATIVE, TO_POSITIVE, TO_WRONG, TO_RIGHT):
        own = [pair for pair in changed if pair[0]["flip"] == flip]
        # The errors that the rung makes anew lead.
        own.sort(key=lambda pair: (pair[0].get("positive") == "yes") is not (flip == TO_NEGATIVE))
        pictures = tuple({**row, "data": thumbnail(path)} for row, path in own[:_PICTURES])
        if own:
            each.append(Direction(flip.replace("->", "\u2192"), pictures, len(own) - len(pictures)))
    return tuple(each)


def _runtimes(ladder: Ladder) -> dict[str, Any]:
    """Of each runtime, how fast each rung is there and what it would lack."""
    names = list(dict.fromkeys(n for rung in ladder.rungs for n in (*rung.speeds, *rung.opset)))
    rows = [(rung.name, [_on_runtime(rung, runtime) for runtime in names]) for rung in ladder.rungs]
    return {"names": names, "rows": rows}


def _on_runtime(rung: Climbed, runtime: str) -> str:
    lacking, spent = rung.opset.get(runtime), rung.speeds.get(runtime)
    if lacking:
        return f"lacks {', '.join(lacking)}"
    if spent is not None:
        return f"{spent:.1f} ms"
    return "knows every operation" if lacking is not None else "can't run it"
