"""A study -> its plots, each one SVG element for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from dermedge import metrics
from dermedge.summary import MINUS
from dermedge.svg import GREY, INK, canvas
from dermtrain.evaluation import operating

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dermtrain.evaluation.study import Study

# Okabe & Ito 2008: told apart with every kind of colour vision, and in grey by their lightness.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#A0326E"
_DOTTED, _DASHED = (0, (2, 3)), (0, (4, 1.5))


def roc(study: Study) -> str:
    """ROC curve with the frozen operating points, the readers of ISIC 2016 and the goal."""
    found = study.predictions
    with canvas("ROC curve", study.made_up) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=_DOTTED)
        goal = operating.GOAL_SENSITIVITY
        axes.axhline(goal, color=GREEN, linewidth=1.2, linestyle=_DASHED)
        paper: Any = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        where: Any = {"ha": "right", "va": "top", "bbox": paper, "zorder": 3}
        axes.text(0.995, goal - 0.015, "goal: 90 % sensitivity", color=GREEN, **where)
        false, true = metrics.roc(found.labels, found.probabilities)
        label = f"model, AUC {metrics.auc(found.labels, found.probabilities):.3f}"
        axes.plot(false, true, color=BLUE, linewidth=2, label=label)
        first, *rest = study.points
        for one in rest:
            _point(axes, one, {"markersize": 6, "markerfacecolor": "white"})
        _point(axes, first, {"markersize": 8, "label": f"frozen: {_words(first.name)}"})
        readers = (1 - operating.READERS_SPECIFICITY, operating.READERS_SENSITIVITY)
        style = {"color": ORANGE, "markersize": 8, "markeredgecolor": "white"}
        axes.plot(*readers, "D", label="readers of ISIC 2016", linestyle="", **style)
        _unit(axes, f"1 {MINUS} specificity", "Sensitivity")
        axes.legend(loc="lower right", handlelength=1.4)
    return svg()


def precision_recall(study: Study) -> str:
    """Precision against recall; the dotted line is chance."""
    found = study.predictions
    precision, recall, _ = precision_recall_curve(found.labels, found.probabilities)
    with canvas("Precision-recall curve", study.made_up) as (axes, svg):
        share = float(found.labels.mean())
        axes.axhline(share, color=GREY, linewidth=0.8, linestyle=_DOTTED, label="chance")
        axes.step(recall, precision, where="post", color=BLUE, linewidth=2, label="model")
        _unit(axes, "Recall (sensitivity)", "Precision (PPV in this set)")
        axes.legend(loc="lower left")
    return svg()


def predictive_values(study: Study) -> str:
    """PPV and NPV of the frozen operating point over prevalence."""
    point = study.points[0]
    grid = np.geomspace(0.002, 0.5, 120)
    sensitive, specific = (
        np.full(len(grid), i.value) for i in (point.sensitivity, point.specificity)
    )
    with canvas("Predictive values over prevalence", study.made_up) as (axes, svg):
        for name, colour, dash, value in (
            ("NPV", GREEN, _DASHED, operating.negative_value(sensitive, specific, grid)),
            ("PPV", BLUE, "-", operating.positive_value(sensitive, specific, grid)),
        ):
            axes.plot(grid, value, color=colour, linewidth=2, linestyle=dash, label=name)
        axes.plot(
            grid, grid, color=GREY, linewidth=0.8, linestyle=_DOTTED, label="prevalence itself"
        )
        if grid[0] <= study.prevalence <= grid[-1]:
            axes.axvline(study.prevalence, color=INK, linewidth=1)
            side = "right" if study.prevalence > 0.03 else "left"
            text = f" {study.prevalence:.3g} "
            axes.text(study.prevalence, 0.5, text, color=INK, va="center", ha=side)
        axes.set_xscale("log")
        ticks = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
        axes.set_xticks(ticks, [f"{100 * t:g} %" for t in ticks])
        axes.minorticks_off()
        axes.set(xlabel="Prevalence", ylabel="Predictive value", ylim=(-0.02, 1.02))
        axes.legend(loc="center left")
    return svg()


def decision_curve(study: Study) -> str:
    """Net benefit of the model against referring all and none."""
    curve = study.benefit
    assert curve is not None
    with canvas("Decision curve", study.made_up) as (axes, svg):
        x = curve.thresholds
        axes.fill_between(x, curve.low, curve.high, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(x, curve.model, color=BLUE, linewidth=2, label="the model decides")
        axes.plot(
            x, curve.everyone, color=ORANGE, linewidth=1.5, linestyle=_DASHED, label="refer all"
        )
        axes.axhline(0, color=INK, linewidth=1.2, label="refer none")
        top = max(float(curve.high.max()), curve.prevalence)
        axes.set(xlim=(0, float(x[-1])), ylim=(-0.35 * top, 1.15 * top))
        axes.set_xlabel("Threshold probability for referral")
        axes.set_ylabel("Net benefit (true positives per photograph)")
        axes.legend(loc="upper right")
    return svg()


def reliability(study: Study) -> str:
    """Observed share of positives against probability, before and after the temperature."""
    found = study.calibration
    assert found is not None
    states = (
        ("before", ORANGE, _DASHED, "D", found.before),
        ("after", BLUE, "-", "o", found.after),
    )
    with canvas("Reliability diagram", study.made_up) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=_DOTTED)
        for name, colour, dash, marker, state in states:
            said = [one.probability for one in state.bins]
            low = [one.observed.low for one in state.bins]
            high = [one.observed.high for one in state.bins]
            axes.vlines(said, low, high, colour, alpha=0.4)
            seen = [one.observed.value for one in state.bins]
            style: Any = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 5}
            axes.plot(said, seen, label=f"{name}, ECE {state.ece:.3f}", **style)
        _unit(axes, "Probability given", "Share that was positive")
        axes.legend(loc="upper left")
    return svg()


def spread(study: Study) -> str:
    """Histogram of the probabilities of both classes, with the frozen threshold."""
    found = study.predictions
    with canvas("Probabilities by class", study.made_up) as (axes, svg):
        bins = np.linspace(0, 1, 26)
        groups = (("negative", ~found.labels, BLUE), ("positive", found.labels, ORANGE))
        for name, members, colour in groups:
            share = np.full(int(members.sum()), 1 / max(1, int(members.sum())))
            own = {"bins": bins, "weights": share, "color": colour}
            axes.hist(found.probabilities[members], alpha=0.35, label=name, **own)
            axes.hist(found.probabilities[members], histtype="step", linewidth=1.6, **own)
        axes.axvline(study.points[0].threshold, color=INK, linewidth=1.2, label="frozen threshold")
        axes.set(xlabel="Probability given", ylabel="Share of the class", xlim=(0, 1))
        axes.legend(loc="upper right")
    return svg()


def forest(study: Study) -> str:
    """AUC of each subgroup that has one, with its interval; empty if none has."""
    assert study.binary is not None
    rows = [
        (f"{attribute.name.replace('_', ' ')}: {group.name}", group.binary.auc_delong.interval)
        for attribute in study.subgroups
        for group in attribute.subgroups
        if group.binary is not None and group.binary.auc_delong.interval is not None
    ]
    if not rows:
        return ""
    size = (8.6, 1.1 + 0.28 * len(rows))
    with canvas("AUC of each subgroup", study.made_up, size) as (axes, svg):
        whole = study.binary.auc_delong.interval
        if whole is not None:
            axes.axvspan(whole.low, whole.high, color=BLUE, alpha=0.1, linewidth=0)
            axes.axvline(whole.value, color=BLUE, linewidth=1.2)
        places = np.arange(len(rows))[::-1]
        for place, (_, found) in zip(places, rows, strict=True):
            axes.plot([found.low, found.high], [place, place], color=INK, linewidth=1.4)
            axes.plot(found.value, place, "o", color=INK, markersize=5)
        axes.set_yticks(places, [name for name, _ in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("AUC with DeLong's 95 % interval; blue: all photographs")
    return svg()


def _point(axes: Axes, one: operating.Point, style: dict[str, Any]) -> None:
    where = (1 - one.specificity.value, one.sensitivity.value)
    axes.plot(*where, "o", color=BLUE, linestyle="", markeredgecolor=BLUE, **style)


def _words(name: str) -> str:
    return name.replace(">=", " \u2265 ")


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal", adjustable="box")
