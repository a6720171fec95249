"""Three sheets: where the evidence lies, the first layer's filters, similar photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dermedge.image import RGB
from dermtrain.backbone import stage_of
from dermtrain.explain import overlay, sheet
from dermtrain.explain.maps import Map
from dermtrain.explain.neighbours import Neighbour
from dermtrain.explain.sheet import (
    AGAINST,
    FOR,
    INK,
    MARGIN,
    MARK,
    SMALL,
    SOFT,
    TIMES,
    TITLE,
    WIDTH,
    WORDS,
    Picture,
)

_GAP = 24


def evidence(
    photograph: RGB,
    title: str,
    words: str,
    target: str,
    for_and_against: Map,
    gradient: Map,
    layer: str,
) -> Picture:
    """The photograph, its class-activation map and Grad-CAM side by side.

    Args:
        photograph: As the model sees it, uint8 (height, width, 3), RGB.
        title: The decision and the probability.
        words: What stands beneath the title.
        target: Name of what the maps speak for.
        for_and_against: The class-activation map of the target against the rest, logits.
        gradient: Grad-CAM.
        layer: Where Grad-CAM was taken.
    """
    side = (WIDTH - 2 * MARGIN - 2 * _GAP) // 3
    top = 150
    drawn = sheet.blank(top + side + 190)
    sheet.write(drawn, (MARGIN, 32), title, TITLE, bold=True)
    sheet.write(drawn, (MARGIN, 92), words, 20, SOFT)
    scale = float(np.abs(for_and_against).max())
    pictures = (
        photograph,
        overlay.signed(photograph, for_and_against),
        overlay.glow(photograph, gradient),
    )
    names = (
        "The photograph, as the net takes it",
        "Class-activation map: the exact sum",
        f"Grad-CAM at {stage_of(layer)}: a finer estimate",
    )
    shape = f"{for_and_against.shape[1]} {TIMES} {for_and_against.shape[0]} places, smoothed"
    finer = f"{gradient.shape[1]} {TIMES} {gradient.shape[0]} places, smoothed"
    mean = float(for_and_against.mean())
    about = (
        f"{photograph.shape[1]} {TIMES} {photograph.shape[0]} pixels",
        f"{shape}; its mean, {number(mean, 2)}, is the log-odds",
        f"{finer}; only what speaks for {target}",
    )
    for place, (picture, name, fact) in enumerate(zip(pictures, names, about, strict=True)):
        left = MARGIN + place * (side + _GAP)
        sheet.place(drawn, (left, top), picture, side)
        sheet.write(drawn, (left, top + side + 14), name, WORDS, INK, bold=True)
        sheet.write(drawn, (left, top + side + 46), sheet.shorten(fact, SMALL, side), SMALL, SOFT)
    left, bar = MARGIN + side + _GAP, top + side + 86
    sheet.place(drawn, (left, bar), overlay.signed_bar(side, 14), (side, 14))
    against, for_ = f"{number(-scale, 1)}  against {target}", f"for {target}  {number(scale, 1)}"
    sheet.write(drawn, (left, bar + 22), against, SMALL, AGAINST)
    at = left + side - sheet.font(SMALL).getlength(for_)
    sheet.write(drawn, (at, bar + 22), for_, SMALL, FOR)
    left += side + _GAP
    sheet.place(drawn, (left, bar), overlay.heat_bar(side, 14), (side, 14))
    sheet.write(drawn, (left, bar + 22), "none", SMALL, SOFT)
    at = left + side - sheet.font(SMALL).getlength("most")
    sheet.write(drawn, (at, bar + 22), "most", SMALL, SOFT)
    return drawn


def filters(pictures: npt.NDArray[np.uint8], order: Sequence[int]) -> Picture:
    """Every filter of the first layer, in rows of sixteen, its pixels left square.

    Args:
        pictures: uint8 (filters, height, width, 3).
        order: In which they are shown.
    """
    columns, gap, top = 16, 14, 140
    side = (WIDTH - 2 * MARGIN - gap * (columns - 1)) // columns
    rows = -(-len(order) // columns)
    drawn = sheet.blank(top + rows * (side + gap) + MARGIN - gap)
    height, width = pictures.shape[1:3]
    sheet.write(drawn, (MARGIN, 32), "What the first layer looks for", TITLE, bold=True)
    words = (
        f"Its {len(order)} filters of {width} {TIMES} {height} pixels, each at full contrast, "
        "mid-grey for nothing: edges and stripes first, then spots and borders of colour."
    )
    sheet.write(drawn, (MARGIN, 90), words, SMALL, SOFT)
    for place, filter_ in enumerate(order):
        row, column = divmod(place, columns)
        at = (MARGIN + column * (side + gap), top + row * (side + gap))
        sheet.place(drawn, at, pictures[filter_], side, crisp=True)
    return drawn


def similar(
    photograph: RGB,
    name: str,
    found: Sequence[Neighbour],
    pictures: Sequence[RGB],
    positive: Sequence[str],
    made_up: str = "",
) -> Picture:
    """The photograph, then the training photographs nearest to it, with label and distance.

    Args:
        photograph: As the model sees it.
        name: Of the photograph.
        found: The neighbours, nearest first.
        pictures: Their photographs, prepared alike.
        positive: Labels that count as positive: in orange.
        made_up: What was made up, in words.
    """
    columns, gap, top = min(len(found), 6) + 1, 22, 152
    side = (WIDTH - 2 * MARGIN - gap * columns) // 7
    rows = -(-len(found) // (columns - 1))
    drawn = sheet.blank(top + rows * (side + 84) + 20)
    sheet.write(drawn, (MARGIN, 32), "The most similar training photographs", TITLE, bold=True)
    words = "By the angle between embeddings (pooled conv5): 0 the same direction, 1 unrelated."
    sheet.write(drawn, (MARGIN, 90), f"{words} {made_up}".strip(), SMALL, SOFT)
    sheet.place(drawn, (MARGIN, top), photograph, side, frame=MARK)
    sheet.write(drawn, (MARGIN, top + side + 10), "this photograph", 20, MARK, bold=True)
    sheet.write(drawn, (MARGIN, top + side + 38), sheet.shorten(name, SMALL, side), SMALL, SOFT)
    for place, (neighbour, picture) in enumerate(zip(found, pictures, strict=True)):
        row, column = divmod(place, columns - 1)
        left = MARGIN + side + 2 * gap + column * (side + gap)
        at = (left, top + row * (side + 84))
        sheet.place(drawn, at, picture, side)
        colour = FOR if neighbour.label in positive else AGAINST
        label = sheet.shorten(neighbour.label, 20, side, True)
        sheet.write(drawn, (at[0], at[1] + side + 10), label, 20, colour, bold=True)
        file = neighbour.image.rpartition("/")[2]
        words = sheet.shorten(f"{neighbour.distance:.3f}  {file}", SMALL, side)
        sheet.write(drawn, (at[0], at[1] + side + 38), words, SMALL, SOFT)
    return drawn


def number(value: float, places: int) -> str:
    """A figure with its sign, and a minus that is one: `+0.31`, `\N{MINUS SIGN}0.31`."""
    return f"{value:+.{places}f}".replace("-", "\N{MINUS SIGN}")
