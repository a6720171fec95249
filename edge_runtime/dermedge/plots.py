"""A comparison -> its plots, each one SVG element for a page (needs the report extra)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from dermedge import metrics
from dermedge.compare import Comparison, Measured
from dermedge.summary import MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito 2008: told apart with every kind of colour vision, and in grey by their lightness.
FULL, SMALL, NEGATIVE, POSITIVE = "#0072B2", "#D55E00", "#56A3D1", "#A0326E"
_INK, _GREY, _LINE = "#1d2329", "#59636e", "#d5dae0"
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and read by screen readers
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 10,
}


def roc(found: Comparison) -> str:
    """ROC curve of both models; a disc marks each frozen operating point."""
    with _canvas(found, "ROC curves of both models") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for name, colour, dash, model in _models(found):
            given = model.predictions.probabilities
            false, true = metrics.roc(model.predictions.labels, given)
            label = f"{name}, AUC {model.figures.auc.value:.3f}"
            axes.plot(false, true, color=colour, linewidth=2, linestyle=dash, label=label)
        for name, colour, _, model in _models(found):
            point = (1 - model.figures.specificity.value, model.figures.sensitivity.value)
            marker = "o" if name == "float" else "D"
            axes.plot(*point, marker, color=colour, markersize=8, markeredgecolor="white")
        _unit(axes, f"1 {MINUS} specificity", "Sensitivity")
        axes.legend(loc="lower right")
    return svg()


def scatter(found: Comparison) -> str:
    """Probability of the float model against that of the small one; flips are ringed."""
    first, second = (model.predictions for model in (found.full, found.small))
    labels, changed = first.labels, first.positive != second.positive
    with _canvas(found, "Probability, float against small") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.axvline(found.full.figures.threshold, color=FULL, linewidth=1)
        axes.axhline(found.small.figures.threshold, color=SMALL, linewidth=1)
        groups = (
            ("negative", ~labels, NEGATIVE, "o"),
            ("positive", labels, POSITIVE, "^"),
        )
        for name, members, colour, marker in groups:
            x, y = first.probabilities[members], second.probabilities[members]
            style = {"s": 26, "alpha": 0.8, "linewidths": 0.3, "edgecolors": "white"}
            axes.scatter(x, y, color=colour, marker=marker, label=name, **style)
        if changed.any():
            x, y = first.probabilities[changed], second.probabilities[changed]
            axes.scatter(
                x, y, s=80, facecolors="none", edgecolors=_INK, linewidths=1.3, label="flip"
            )
        _unit(axes, "Probability, float", "Probability, small")
        axes.legend(loc="upper left", handletextpad=0.2)
    return svg()


def reliability(found: Comparison) -> str:
    """Observed share of positives against probability, in bins of equal mass, with intervals."""
    with _canvas(found, "Reliability diagram of both models") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for shift, (name, colour, dash, model) in zip((-0.004, 0.004), _models(found), strict=True):
            given = model.predictions
            bins = metrics.calibration_bins(given.labels, given.probabilities)
            said = [b.probability + shift for b in bins]
            seen = [b.observed.value for b in bins]
            axes.vlines(
                said,
                [b.observed.low for b in bins],
                [b.observed.high for b in bins],
                colour,
                alpha=0.45,
            )
            marker = "o" if name == "float" else "D"
            label = f"{name}, ECE {model.figures.ece:.3f}"
            axes.plot(
                said, seen, color=colour, linestyle=dash, marker=marker, markersize=5, label=label
            )
        _unit(axes, "Probability given", "Share that was positive")
        axes.legend(loc="upper left")
    return svg()


def latency(found: Comparison) -> str:
    """Every timed run of both models, with the median and the quartiles."""
    with _canvas(found, "Latency of both models") as (axes, svg):
        for place, (_, colour, _, model) in zip((1, 0), _models(found), strict=True):
            runs = np.array(model.latency.runs_ms)
            jitter = place + 0.22 * np.sin(np.arange(len(runs)) * 2.4)
            axes.scatter(runs, jitter, s=16, color=colour, alpha=0.45, linewidths=0)
            box = {"color": _INK, "linewidth": 1.2}
            axes.boxplot(
                runs,
                positions=[place],
                widths=0.6,
                orientation="horizontal",
                showfliers=False,
                boxprops=box,
                medianprops={"color": _INK, "linewidth": 2.4},
                whiskerprops=box,
                capprops=box,
            )
        axes.set_yticks([1, 0], ["float", "small"])
        axes.set_ylim(-0.6, 1.6)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=_INK, labelsize=11)
        axes.set_xlabel("Milliseconds from pixels to verdict")
    return svg()


@contextmanager
def _canvas(found: Comparison, title: str) -> Iterator[tuple[Axes, Any]]:
    """Yield axes to draw on and the function that gives the finished SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    salt = re.sub(r"\W+", "-", title)  # ids of several plots live on one page
    with rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(4.8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        made_up = found.setting.made_up
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


def _models(found: Comparison) -> tuple[tuple[str, str, Any, Measured], ...]:
    """Name, colour and dashes: the colour is never the only difference."""
    return (("float", FULL, "-", found.full), ("small", SMALL, (0, (4, 1.5)), found.small))


def _unit(axes: Axes, x: str, y: str) -> None:
    """A square of probabilities."""
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal", adjustable="box")
