"""Two knobs, the colours of 144 made-up pictures, and gradient descent: all numbers computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from colours import standardised
from sheet import BLUE, GREY, INK, LINE, ORANGE, PINK, sheet

Array = npt.NDArray[np.float64]
PICTURE = "SYN_00147"  # the photograph of the worked example
_NOTE = (
    "Mean colour of 144 made-up training pictures.  kit data synth pictures --images 240 --seed 1"
)


def loss(weights: Array, inputs: Array, targets: Array) -> float:
    """Mean cross-entropy of p = 1 / (1 + exp(-weights . inputs)), nats."""
    scores = inputs @ weights
    return float(np.mean(np.logaddexp(0, scores) - targets * scores))


def gradient(weights: Array, inputs: Array, targets: Array) -> Array:
    """Slope of the loss for each weight: mean of (p - target) x input."""
    blame = 1 / (1 + np.exp(-inputs @ weights)) - targets
    return inputs.T @ blame / len(targets)


def descend(rate: float, steps: int) -> tuple[Array, Array]:
    """Weights after each step, (steps + 1, 2), and their losses, (steps + 1,)."""
    inputs, targets, _ = standardised()
    path = [np.zeros(2)]
    for _ in range(steps):
        path.append(path[-1] - rate * gradient(path[-1], inputs, targets))
    return np.array(path), np.array([loss(w, inputs, targets) for w in path])


def knob(path: Path) -> None:
    """The error as one knob turns, and the slope at one setting."""
    inputs, targets, _ = standardised()
    turns = np.linspace(-2.2, 1.6, 200)
    heights = [loss(np.array([turn, 0.0]), inputs, targets) for turn in turns]
    here = np.array([0.9, 0.0])
    slope, height = gradient(here, inputs, targets)[0], loss(here, inputs, targets)
    with sheet(path, size=(8.6, 3.6), note=_NOTE) as (axes,):
        axes.plot(turns, heights, color=BLUE)
        near = here[0] + np.array([-0.7, 0.45])
        axes.plot(near, height + slope * (near - here[0]), color=ORANGE, linewidth=1.6)
        axes.plot(here[0], height, "o", color=ORANGE, markersize=8)
        axes.annotate(
            f"slope {slope:+.2f}: turn left",
            (here[0], height),
            (-0.75, height + 0.06),
            arrowprops={"arrowstyle": "-", "color": GREY},
        )
        least = int(np.argmin(heights))
        axes.plot(turns[least], heights[least], "o", color=INK, markersize=6)
        axes.annotate(
            "slope 0: the bottom",
            (turns[least], heights[least]),
            (0, 14),
            textcoords="offset points",
            ha="center",
        )
        axes.set(xlabel="setting of the knob for red", ylabel="mean error (nats)")


def bowl(path: Path) -> None:
    """The way of gradient descent through the bowl, and the error step by step at three rates."""
    inputs, targets, _ = standardised()
    with sheet(path, 2, (9.2, 4.0), _NOTE, (1.05, 1)) as (map_, curve):
        red, blue = np.meshgrid(np.linspace(-2.4, 0.6, 80), np.linspace(-0.9, 1.8, 80))
        height = np.array(
            [
                [loss(np.array(w), inputs, targets) for w in zip(*row, strict=True)]
                for row in zip(red, blue, strict=True)
            ]
        )
        levels = height.min() + np.array([0.001, 0.005, 0.015, 0.03, 0.06, 0.1, 0.2, 0.4])
        map_.contour(red, blue, height, levels=levels, colors=LINE, linewidths=1.2)
        way, _ = descend(1.0, 200)
        map_.plot(*way.T, "-", color=BLUE, linewidth=1.2)
        map_.plot(*way[:40].T, "o", color=BLUE, markersize=4)
        map_.annotate("start", way[0], (8, -4), textcoords="offset points")
        map_.plot(*way[-1], "*", color=INK, markersize=11)
        map_.annotate("bottom", way[-1], (-12, 10), textcoords="offset points", ha="right")
        map_.set(
            xlabel="knob for red", ylabel="knob for blue", title="Rate 1: each dot is one step"
        )
        map_.set_aspect("equal")
        # Rate 8 never settles: its first steps show that, and more would only blacken the plot.
        styles = (
            (8.0, 14, PINK, (0, (1, 1))),
            (0.1, 100, ORANGE, (0, (4, 2))),
            (1.0, 100, BLUE, "-"),
        )
        for rate, steps, colour, dash in styles:
            _, losses = descend(rate, steps)
            curve.plot(losses, color=colour, linestyle=dash, label=f"rate {rate:g}")
        end = float(descend(1.0, 100)[1][-1])
        curve.annotate(
            f"plateau, {end:.3f}", (88, end), (0, -14), textcoords="offset points", ha="center"
        )
        curve.set(title="Mean error after each step", xlabel="step", ylabel="nats", ylim=(0.6, 1.0))
        curve.legend(loc="upper right")
