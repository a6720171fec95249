"""One matplotlib figure as an SVG element for a page (needs the report extra)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, LINE = "#1d2329", "#59636e", "#d5dae0"
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and read by screen readers
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 10,
}


@contextmanager
def canvas(
    title: str, made_up: str = "", size: tuple[float, float] = (4.8, 4.5)
) -> Iterator[tuple[Axes, Any]]:
    """Yield axes to draw on and the function that gives the finished SVG element.

    Args:
        title: Names the plot for screen readers.
        made_up: What was made up, in words; stands above the plot.
        size: Width and height, inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    salt = re.sub(r"\W+", "-", title)  # ids of several plots live on one page
    with rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        if made_up:
            figure.suptitle(made_up.capitalize(), fontsize=9.5, color="#8a3b00", fontweight="bold")
        finished: list[str] = []
        yield axes, lambda: finished[0]
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        finished.append(_inline(stream.getvalue(), title, made_up))


def _inline(svg: str, title: str, made_up: str) -> str:
    """Cut a file down to its element: the page sets its width and its typeface."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: (?:(\d+) )?([\d.]+px) [^;\"]*", r"font-weight: \1; font-size: \2", svg)
    svg = svg.replace("font-weight: ; ", "")
    label = escape(f"{title}; {made_up}" if made_up else title)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
