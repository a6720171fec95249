"""A comparison -> its plots, each one SVG element for a page (needs the report extra)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dermedge import metrics
from dermedge.compare import Comparison, Measured, called
from dermedge.metrics import Figures
from dermedge.summary import MINUS
from dermedge.svg import GREY, INK, canvas
from dermedge.topclass import TopFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito 2008: told apart with every kind of colour vision, and in grey by their lightness.
FULL, SMALL, NEGATIVE, POSITIVE = "#0072B2", "#D55E00", "#56A3D1", "#A0326E"


def roc(found: Comparison) -> str:
    """ROC curve of both models; a disc marks each frozen operating point."""
    with canvas("ROC curves of both models", found.setting.made_up) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for name, colour, dash, model in _models(found):
            given = model.predictions.probabilities
            false, true = metrics.roc(model.predictions.labels, given)
            label = f"{name}, AUC {model.figures.auc.value:.3f}"
            axes.plot(false, true, color=colour, linewidth=2, linestyle=dash, label=label)
        for name, colour, _, model in _models(found):
            assert isinstance(model.figures, Figures)  # `naming` stands for the ROC elsewhere
            point = (1 - model.figures.specificity.value, model.figures.sensitivity.value)
            marker = "o" if name == "float" else "D"
            axes.plot(*point, marker, color=colour, markersize=8, markeredgecolor="white")
        _unit(axes, f"1 {MINUS} specificity", "Sensitivity")
        axes.legend(loc="lower right")
    return svg()


def naming(found: Comparison) -> str:
    """How often the top class is right among the photographs of which each model is surest."""
    with canvas("Accuracy of the surest photographs", found.setting.made_up) as (axes, svg):
        for name, colour, dash, model in _models(found):
            right, given = called(model.predictions), model.predictions.class_probabilities
            order = np.argsort(-given.max(axis=1), kind="stable")
            counts = np.arange(1, len(order) + 1)
            label = f"{name}, all of them {right.mean():.3f}"
            shares = np.cumsum(right[order]) / counts
            axes.plot(
                counts / len(order), shares, color=colour, linewidth=2, linestyle=dash, label=label
            )
        for name, colour, _, model in _models(found):
            figures = model.figures
            if isinstance(figures, TopFigures) and figures.named_accuracy is not None:
                point = figures.named.value, figures.named_accuracy.value
                marker = "o" if name == "float" else "D"
                axes.plot(*point, marker, color=colour, markersize=8, markeredgecolor="white")
        _unit(axes, "Share of the photographs, the surest first", "Share of them that is right")
        axes.legend(loc="lower left")
    return svg()


def scatter(found: Comparison) -> str:
    """Probability of the float model against that of the small one; flips are ringed."""
    first, second = (model.predictions for model in (found.full, found.small))
    changed = called(first) != called(second)
    labels = called(first) if found.naming else first.labels
    given = [
        p.class_probabilities.max(axis=1) if found.naming else p.probabilities
        for p in (first, second)
    ]
    with canvas("Probability, float against small", found.setting.made_up) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.axvline(found.full.figures.threshold, color=FULL, linewidth=1)
        axes.axhline(found.small.figures.threshold, color=SMALL, linewidth=1)
        names = ("wrong (float)", "right (float)") if found.naming else ("negative", "positive")
        groups = (
            (names[0], ~labels, NEGATIVE, "o"),
            (names[1], labels, POSITIVE, "^"),
        )
        for name, members, colour, marker in groups:
            x, y = given[0][members], given[1][members]
            style = {"s": 26, "alpha": 0.8, "linewidths": 0.3, "edgecolors": "white"}
            axes.scatter(x, y, color=colour, marker=marker, label=name, **style)
        if changed.any():
            x, y = given[0][changed], given[1][changed]
            axes.scatter(
                x, y, s=80, facecolors="none", edgecolors=INK, linewidths=1.3, label="flip"
            )
        _unit(axes, "Probability, float", "Probability, small")
        axes.legend(loc="upper left", handletextpad=0.2)
    return svg()


def reliability(found: Comparison) -> str:
    """Observed share of positives against probability, in bins of equal mass, with intervals.

    Where no class is positive: the share of top classes that are right.
    """
    with canvas("Reliability diagram of both models", found.setting.made_up) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        for shift, (name, colour, dash, model) in zip((-0.004, 0.004), _models(found), strict=True):
            given = model.predictions
            if found.naming:
                leading = given.class_probabilities.max(axis=1)
                bins = metrics.calibration_bins(called(given), leading)
            else:
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
        _unit(
            axes, "Probability given", f"Share that was {'right' if found.naming else 'positive'}"
        )
        axes.legend(loc="upper left")
    return svg()


def latency(found: Comparison) -> str:
    """Every timed run of both models, with the median and the quartiles."""
    with canvas("Latency of both models", found.setting.made_up) as (axes, svg):
        for place, (_, colour, _, model) in zip((1, 0), _models(found), strict=True):
            runs = np.array(model.latency.runs_ms)
            jitter = place + 0.22 * np.sin(np.arange(len(runs)) * 2.4)
            axes.scatter(runs, jitter, s=16, color=colour, alpha=0.45, linewidths=0)
            box = {"color": INK, "linewidth": 1.2}
            axes.boxplot(
                runs,
                positions=[place],
                widths=0.6,
                orientation="horizontal",
                showfliers=False,
                boxprops=box,
                medianprops={"color": INK, "linewidth": 2.4},
                whiskerprops=box,
                capprops=box,
            )
        axes.set_yticks([1, 0], ["float", "small"])
        axes.set_ylim(-0.6, 1.6)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
        axes.set_xlabel("Milliseconds from pixels to verdict")
    return svg()


def _models(found: Comparison) -> tuple[tuple[str, str, Any, Measured], ...]:
    """Name, colour and dashes: the colour is never the only difference."""
    return (("float", FULL, "-", found.full), ("small", SMALL, (0, (4, 1.5)), found.small))


def _unit(axes: Axes, x: str, y: str) -> None:
    """A square of probabilities."""
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal", adjustable="box")
