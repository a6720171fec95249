"""How runs of `kit train` went: from history.csv."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import data
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sheet import BLUE, GREY, ORANGE, sheet


def first_run(path: Path) -> None:
    """Error and validation AUC of the tutorial's own run, phase by phase."""
    run = data.read("first")
    with sheet(path, 2, (9.2, 3.7), run.source) as (losses, aucs):
        steps = range(len(run.rows))
        losses.plot(steps, run.column("loss"), "o-", ms=4, color=GREY, label="training")
        losses.plot(steps, run.column("val_loss"), "o-", ms=4, color=BLUE, label="validation")
        losses.set(title="Error", ylabel="nats", xlabel="step")
        losses.legend(loc="lower left")
        aucs.plot(steps, run.column("val_auc"), "o-", ms=4, color=BLUE)
        aucs.set(title="AUC on validation", xlabel="step")
        for axes in (losses, aucs):
            _phases(axes, [row["phase"] for row in run.rows])


def too_early(path: Path) -> None:
    """The same net unfrozen at once, and from the head's plateau; at 0 fine-tuning begins."""
    ways = (("late", "after the plateau", BLUE, "-"), ("early", "at once", ORANGE, (0, (4, 2))))
    runs = {name: data.read(name) for name, *_ in ways}
    source = runs["late"].source.replace("late.toml", "{late,early}.toml")
    with sheet(path, 2, (9.2, 3.8), source) as (aucs, losses):
        for name, words, colour, dash in ways:
            run = runs[name]
            style = {"color": colour, "linestyle": dash, "marker": "o", "markersize": 4}
            phases = [row["phase"] for row in run.rows]
            steps = [step - phases.count("transfer") for step in range(len(phases))]
            aucs.plot(steps, run.column("val_auc"), **style, label=words)
            losses.plot(steps, run.column("val_loss"), **style, label=words)
            _starts(aucs, phases, steps, run.column("val_auc"), colour)
        aucs.set(title="AUC on validation")
        losses.set(title="Error on validation", ylabel="nats")
        for axes in (aucs, losses):
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_xlabel("epoch of fine-tuning (before 0: the head alone)")
        losses.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")


def _phases(axes: Axes, names: list[str]) -> None:
    """Shade every other phase and name each."""
    begin = 0
    for number, (name, group) in enumerate(groupby(names)):
        end = begin + len(list(group))
        axes.axvspan(begin - 0.5, end - 0.5, color=GREY, alpha=0.09 if number % 2 else 0, lw=0)
        axes.text(
            begin - 0.4,
            0.99,
            name,
            transform=axes.get_xaxis_transform(),
            va="top",
            fontsize=9.5,
            color=GREY,
        )
        begin = end
    axes.margins(y=0.16)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _starts(
    axes: Axes, names: list[str], steps: list[int], values: list[float], colour: str
) -> None:
    """Name each phase where it begins."""
    for place, (before, name) in enumerate(zip(["", *names], names, strict=False)):
        if name != before:
            axes.annotate(
                name,
                (steps[place], values[place]),
                (-4 if place else 4, -16),
                textcoords="offset points",
                fontsize=9,
                color=colour,
                ha="right" if place else "left",
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
