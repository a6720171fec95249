"""A figure of the tutorial as one SVG file: one style, no date, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dermedge import atomic

INK, GREY, LINE, PAPER = "#1d2329", "#59636e", "#d5dae0", "#ffffff"
# Okabe & Ito 2008: told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small files, searchable
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 2,
}


@contextmanager
def sheet(
    path: Path,
    columns: int = 1,
    size: tuple[float, float] = (8.6, 3.5),
    note: str = "",
    ratios: tuple[float, ...] | None = None,
) -> Iterator[list[Axes]]:
    """Yield axes side by side; write them to `path` when the body is through.

    Args:
        path: The SVG file.
        columns: Number of axes.
        size: Width and height, inches.
        note: Stands below, small: where the numbers come from.
        ratios: Widths of the columns; equal by default.
    """
    style: Any = {**_STYLE, "svg.hashsalt": path.stem}
    with rc_context(style):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.05), facecolor=PAPER)
        grid = figure.subplots(1, columns, squeeze=False, width_ratios=ratios)
        if note:
            figure.supxlabel(note, fontsize=8.5, color=GREY, x=0.01, ha="left")
        yield list(np.ravel(grid))
        with atomic.whole(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def bare(axes: Axes) -> None:
    """No ticks, grid or frame: for pictures and drawings."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
