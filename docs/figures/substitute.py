"""What `kit compare` proves: the difference of two AUCs against a margin, and what is saved."""

from __future__ import annotations

from pathlib import Path

import data
from sheet import BLUE, GREEN, GREY, INK, LINE, ORANGE, sheet


def substitute(path: Path) -> None:
    """Both AUCs, their difference beside the margin, and the cost of both models."""
    found = data.read_json("compare")
    with sheet(path, 3, (9.2, 3.4), data.source(found["head"]), (1, 1, 1)) as (aucs, gap, cost):
        for row, (name, colour) in enumerate((("float", BLUE), ("small", ORANGE))):
            auc = found[name]["auc"]
            aucs.plot([auc["low"], auc["high"]], [row, row], color=colour)
            aucs.plot(auc["value"], row, "o", color=colour, ms=8)
            aucs.text(auc["value"], row - 0.16, f"{name}  {auc['value']:.3f}", ha="center")
        aucs.set(title="AUC, 95 % interval", yticks=[], ylim=(1.5, -0.6))
        change, margin = found["auc_difference"], found["margin"]
        holds = change["low"] >= -margin
        gap.axvspan(-margin, 1, color=GREEN, alpha=0.13, lw=0)
        gap.axvline(-margin, color=GREEN, linewidth=1.4)
        gap.axvline(0, color=GREY, linewidth=0.8)
        gap.plot([change["low"], change["high"]], [0, 0], color=INK)
        gap.plot(change["value"], 0, "o", color=INK, ms=8)
        reach = 1.25 * max(margin, -change["low"], change["high"])
        gap.set(title=f"small - float, margin {margin:g}", yticks=[], xlim=(-reach, reach))
        gap.set_xlabel("may stand in" if holds else "may not stand in", fontweight="bold")
        for axes in (aucs, gap):
            axes.spines["left"].set_visible(False)
        names = (("megabytes", "MB"), ("milliseconds", "ms"), ("peak_mib", "MiB"))
        for row, (key, unit) in enumerate(names):
            full, small = found["float"][key], found["small"][key]
            cost.barh(row, 1, height=0.55, color=LINE)
            cost.barh(row, small / full, height=0.55, color=ORANGE)
            cost.text(1.03, row, f"{small:.3g} of {full:.3g} {unit}", va="center", fontsize=10)
        cost.set(
            title="What it costs",
            yticks=range(3),
            yticklabels=("file", "time", "memory"),
            xlim=(0, 1.9),
            xticks=[],
        )
        cost.invert_yaxis()
        cost.grid(False)
        cost.spines[:].set_visible(False)
        cost.tick_params(length=0)
