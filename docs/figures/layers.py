"""The net's build in figures: what each stage sees, how many knobs it has, what trains when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from sheet import BLUE, GREY, INK, LINE, ORANGE, bare, sheet

SIDE = 299
_BLOCKS = {"conv2": 3, "conv3": 4, "conv4": 6, "conv5": 3}
_WIDTHS = {"conv2": 64, "conv3": 128, "conv4": 256, "conv5": 512}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of ResNet50: pixels that one value sees (a side), places (a side), channels."""

    name: str
    sees: int
    places: int
    channels: int
    knobs: int


def stages(side: int = SIDE) -> list[Stage]:
    """The stages of ResNet50 (He et al. 2015), as keras.applications builds it.

    A layer of kernel k widens what a value sees by (k - 1) x the distance between two values; a
    stride multiplies that distance. Knobs are what training turns: weights, biases, and scale and
    shift of each batch normalisation, not its statistics.
    """
    sees, step, places = 7, 2, -(-side // 2)
    found = [Stage("conv1", sees, places, 64, _convolution(7, 3, 64))]
    sees, step, places, channels = sees + 2 * step, 4, -(-places // 2), 64  # the pooling, 3x3
    for name, blocks in _BLOCKS.items():
        if name != "conv2":
            step, places = 2 * step, -(-places // 2)
        sees += 2 * step * blocks  # one 3x3 in each block; 1x1 sees no further
        width, knobs = _WIDTHS[name], 0
        for block in range(blocks):
            knobs += _convolution(1, channels, width) + _convolution(3, width, width)
            knobs += _convolution(1, width, 4 * width)
            knobs += 0 if block else _convolution(1, channels, 4 * width)  # the shortcut
            channels = 4 * width
        found.append(Stage(name, sees, places, channels, knobs))
    return found


def head_knobs(classes: int = 2) -> int:
    """Knobs of the head: one for each channel and class, and one more a class."""
    return (stages()[-1].channels + 1) * classes


def _convolution(side: int, before: int, after: int) -> int:
    """Knobs of a convolution with biases, and of the batch normalisation behind it."""
    return side * side * before * after + after + 2 * after


def lesion(side: int) -> np.ndarray:
    """One made-up picture: uint8 (side, side, 3), RGB."""
    from dermtrain.synthetic import Shot, draw

    return draw(4, Shot(1, 4, True, "train"), 1, side)


def hierarchy(path: Path) -> None:
    """The part of a picture that one value of each stage sees, and the grid of such values."""
    with sheet(path, 2, (9.2, 4.1), "One made-up picture, 299 x 299; ResNet50.", (1, 1.35)) as (
        photo,
        grids,
    ):
        bare(photo)
        photo.imshow(lesion(SIDE))
        middle = SIDE / 2
        for stage in stages():
            half = min(stage.sees, SIDE - 3) / 2
            corner = (middle - half, middle - half)
            box = Rectangle(corner, 2 * half, 2 * half, fill=False, edgecolor="white", linewidth=2)
            photo.add_patch(box)
            if stage.name not in ("conv1", "conv5"):
                photo.text(
                    corner[0] + 3, corner[1] + 3, stage.name, color="white", va="top", fontsize=10
                )
        photo.set_title("What one value looks at")
        bare(grids)
        left = 0.0
        for stage in stages():
            side, slot = stage.places, max(stage.places, 84)
            grids.add_patch(
                Rectangle(
                    (left + (slot - side) / 2, 0),
                    side,
                    side,
                    facecolor="#e6f0f6",
                    edgecolor=BLUE,
                    linewidth=1.2,
                )
            )
            sees = f"sees {stage.sees}" if stage.sees < SIDE else "sees all"
            text = f"{stage.name}\n{side} x {side}\n{stage.channels} kinds\n{sees}"
            grids.text(left + slot / 2, -8, text, ha="center", va="top", fontsize=9.5)
            left += slot + 6
        grids.set(xlim=(-2, left), ylim=(-95, 160), title="Fewer places, more kinds of pattern")
        grids.set_aspect("equal")


def unfreezing(path: Path) -> None:
    """How many knobs each phase turns, stage by stage."""
    *below, conv4, conv5 = stages()
    parts = [
        ("1-3", sum(stage.knobs for stage in below)),
        *((stage.name, stage.knobs) for stage in (conv4, conv5)),
        ("head", head_knobs()),
    ]
    with sheet(path, size=(8.6, 3.0), note="ResNet50 with a head for two classes.") as (axes,):
        shown = ("head", "conv5", "conv4")
        for row, lowest in enumerate(shown):
            first, left = [name for name, _ in parts].index(lowest), 0.0
            moving = sum(knobs for _, knobs in parts[first:])
            for place, (name, knobs) in enumerate(parts):
                moves = place >= first
                axes.barh(
                    row,
                    knobs / 1e6,
                    left=left,
                    height=0.62,
                    color=ORANGE if moves else LINE,
                    edgecolor="white",
                )
                if knobs > 1e6:
                    axes.text(
                        left + knobs / 2e6,
                        row,
                        name,
                        ha="center",
                        va="center",
                        fontsize=10,
                        color="white" if moves else GREY,
                    )
                left += knobs / 1e6
            say = f"{moving / 1e6:.1f} million move" if moving > 1e5 else f"{moving:,} move"
            axes.text(left + 0.3, row, say, va="center", color=INK)
        axes.set(
            yticks=range(len(shown)),
            yticklabels=["1  head", "2  and conv5", "3  and conv4"],
            xlabel="millions of knobs, from the first layer to the head",
            xlim=(0, 29.5),
        )
        axes.invert_yaxis()
        axes.grid(False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
