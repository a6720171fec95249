"""The run's pictures: how training went, and the ROC, or the naming, on the test photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from dermedge import atomic
from dermedge.contract import NOTICE
from dermtrain.history import Entry

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = (
    "#0072b2",
    "#d55e00",
    "#666666",
)  # Okabe & Ito 2008: safe for colour-blind eyes


def draw(
    path: Path,
    entries: Sequence[Entry],
    positive: npt.NDArray[np.bool_],
    probability: npt.NDArray[np.floating],
    threshold: float,
    title: str,
    naming: bool = False,
) -> None:
    """Write curves.png: loss and validation AUC of each phase, and the test's ROC.

    Without positive classes the third picture is how often the named class is right, against the
    share of the photographs for which one is named.

    Args:
        path: Where to.
        entries: The history.
        positive: Whether each test photograph is positive, (rows,); without positive classes,
            whether its top class is right.
        probability: Calibrated probability of the same, (rows,).
        threshold: The frozen threshold, marked on the third picture.
        title: Stands above; says where the data come from.
        naming: Whether the model has no positive classes.
    """
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    losses, aucs, third = figure.subplots(1, 3)
    steps = np.arange(len(entries))
    losses.plot(steps, [e.loss for e in entries], "o-", ms=3, color=_GREY, label="training")
    losses.plot(steps, [e.val_loss for e in entries], "o-", ms=3, color=_BLUE, label="validation")
    losses.set(title="Loss", xlabel="step", ylabel="cross-entropy (nats)")
    losses.legend(frameon=False)
    aucs.plot(steps, [e.val_auc for e in entries], "o-", ms=3, color=_BLUE)
    mean = ", mean of classes" if naming else ""
    aucs.set(title=f"AUC on validation{mean}", xlabel="step")
    for axes in (losses, aucs):
        _mark_phases(axes, entries)
        axes.xaxis.get_major_locator().set_params(integer=True)
    (_naming if naming else _roc)(third, positive, probability, threshold)
    for axes in (losses, aucs, third):
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(NOTICE, fontsize=7, color=_GREY)
    with atomic.whole(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _mark_phases(axes: Axes, entries: Sequence[Entry]) -> None:
    """Name each phase at its first step, and shade every other one."""
    starts = [i for i, e in enumerate(entries) if i == 0 or e.phase != entries[i - 1].phase]
    for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(entries)], strict=True)):
        axes.axvspan(begin - 0.5, end - 0.5, color=_GREY, alpha=0.08 if number % 2 else 0, lw=0)
        axes.annotate(
            entries[begin].phase,
            (begin - 0.4, 1),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize=8,
            color=_GREY,
        )


def _roc(
    axes: Axes,
    positive: npt.NDArray[np.bool_],
    probability: npt.NDArray[np.floating],
    threshold: float,
) -> None:
    false, true, _ = roc_curve(positive, probability)
    axes.plot(false, true, color=_BLUE)
    axes.plot([0, 1], [0, 1], ":", color=_GREY, lw=1)
    called = probability >= threshold
    point = float(called[~positive].mean()), float(called[positive].mean())
    axes.plot(*point, "o", color=_ORANGE, label="frozen threshold")
    axes.legend(frameon=False, loc="lower right")
    axes.set(title="ROC on the test photographs", xlabel="1 - specificity", ylabel="sensitivity")
    axes.set_aspect("equal")


def _naming(
    axes: Axes,
    right: npt.NDArray[np.bool_],
    probability: npt.NDArray[np.floating],
    threshold: float,
) -> None:
    order = np.argsort(-probability, kind="stable")
    counts = np.arange(1, len(order) + 1)
    axes.plot(counts / len(order), np.cumsum(right[order]) / counts, color=_BLUE)
    called = (probability >= threshold) & (threshold < 1)
    if called.any():
        point = float(called.mean()), float(right[called].mean())
        axes.plot(*point, "o", color=_ORANGE, label="frozen threshold")
        axes.legend(frameon=False, loc="lower left")
    else:
        axes.text(0.5, 0.1, "the frozen threshold names none", color=_ORANGE, ha="center")
    axes.set(
        title="Naming the test photographs", xlabel="share named", ylabel="share of them right"
    )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
