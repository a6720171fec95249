"""The strongest channels of each stage, laid over the photograph: one sheet, edges to lesion."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import ImageDraw

from dermedge.image import RGB
from dermtrain.explain import sheet
from dermtrain.explain.activations import Stage
from dermtrain.explain.overlay import glow
from dermtrain.explain.sheet import (
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

# What such a depth tends to answer to (Zeiler & Fergus 2014, Olah et al. 2017).
TENDS = {
    "conv1": "edges, hairs, borders of colour",
    "conv2": "fine texture: lines, dots, grain",
    "conv3": "small patterns: net, streaks, globules",
    "conv4": "parts: the border, blotches, structure",
    "conv5": "the lesion as a whole, for the decision",
}
CHANNELS = 7
_WORDS, _GAP, _THUMB = 330, 12, 96
_TOP, _CAPTION = 158, 30


def stages(photograph: RGB, name: str, found: Sequence[Stage], made_up: str = "") -> Picture:
    """One row for each stage: what it tends to see, its window, its strongest channels.

    Args:
        photograph: As the model sees it, uint8 (height, width, 3), RGB.
        name: Of the photograph.
        found: The stages, from the first to the deepest.
        made_up: What was made up, in words.
    """
    left = MARGIN + _WORDS
    side = (WIDTH - MARGIN - left - _GAP * (CHANNELS - 1)) // CHANNELS
    row = side + _CAPTION + 26
    drawn = sheet.blank(_TOP + row * len(found) + 24)
    sheet.write(drawn, (MARGIN, 36), "What the layers see", TITLE, bold=True)
    height, width = photograph.shape[:2]
    told = f"{name}, as the net takes it ({width} {TIMES} {height} pixels). Downwards: deeper in."
    told += " Bright: the channel answers here; each tile has its own scale."
    sheet.write(drawn, (MARGIN, 92), f"{told} {made_up}".strip(), SMALL, SOFT)
    for number, stage in enumerate(found):
        top = _TOP + row * number
        _label(drawn, (MARGIN, top), photograph, stage)
        for place, (channel, values) in enumerate(zip(stage.channels, stage.maps, strict=True)):
            at = (left + place * (side + _GAP), top)
            sheet.place(drawn, at, glow(photograph, values), side)
            text = f"channel {channel}"
            sheet.write(drawn, (at[0] + side / 2, top + side + 5), text, 18, SOFT, middle=True)
    return drawn


def _label(drawn: Picture, at: tuple[int, int], photograph: RGB, stage: Stage) -> None:
    left, top = at
    sheet.write(drawn, (left, top - 4), stage.name, 30, INK, bold=True)
    words = TENDS.get(stage.name, "")
    below = sheet.write(drawn, (left, top + 36), words, WORDS, width=_WORDS - 20)
    thumb = (left, round(below + 8))
    sheet.place(drawn, thumb, photograph, _THUMB)
    _window(drawn, thumb, stage.field / max(photograph.shape[:2]))
    height, width = stage.maps.shape[1:]
    seen = f"{stage.field} {TIMES} {stage.field} pixels"
    if stage.field >= max(photograph.shape[:2]):
        seen = "the whole picture"
    facts = f"{stage.total} channels\n{width} {TIMES} {height} places\neach sees\n{seen}"
    sheet.write(drawn, (left + _THUMB + 16, thumb[1] - 2), facts, SMALL, SOFT)


def _window(drawn: Picture, at: tuple[int, int], share: float) -> None:
    """Draw the window of one place around the middle of the thumbnail."""
    half = min(share, 1) * _THUMB / 2
    x, y = at[0] + _THUMB / 2, at[1] + _THUMB / 2
    box = (x - half, y - half, x + half - 1, y + half - 1)
    ImageDraw.Draw(drawn).rectangle(box, outline=MARK, width=2)
