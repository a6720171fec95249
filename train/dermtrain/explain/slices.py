"""A walk through the net, block by block, as a small animation."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from dermedge.image import RGB
from dermtrain.explain import sheet
from dermtrain.explain.activations import Stage
from dermtrain.explain.mosaic import TENDS
from dermtrain.explain.overlay import glow
from dermtrain.explain.sheet import INK, LINE, MARK, SOFT, Picture

CHANNELS = 10  # one large, nine small
_SIZE, _PAD, _LARGE, _GAP = (840, 566), 24, 392, 8
_HOLD_MS, _FADE_MS, _FADES = 900, 60, 2
_WORDS = (
    "Cuts through the net follow, one after each block, from the pixels down to the decision.\n\n"
    "Large: the channel whose answer varies most over this photograph. Small: the next nine.\n\n"
    "Bright: the channel answers here. Each tile has its own scale."
)


def animate(photograph: RGB, found: Sequence[Stage], made_up: str = "") -> bytes:
    """An animated WebP that begins with the photograph and ends at the deepest block.

    Args:
        photograph: As the model sees it, uint8 (height, width, 3), RGB.
        found: Each block, from the first to the deepest.
        made_up: What was made up, in words.
    """
    stills = [_still(photograph, None, 0, len(found), made_up)]
    stills += [_still(photograph, s, i, len(found), made_up) for i, s in enumerate(found, 1)]
    frames, times = [], []
    for here, after in zip(stills, [*stills[1:], stills[0]], strict=True):
        frames.append(here)
        times.append(_HOLD_MS)
        for step in range(1, _FADES + 1):
            frames.append(Image.blend(here, after, step / (_FADES + 1)))
            times.append(_FADE_MS)
    stream = io.BytesIO()
    frames[0].save(
        stream,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=times,
        loop=0,
        quality=70,
        method=4,
        kmax=1,  # each frame whole: what a lossy frame leaves of the one before shows as blocks
    )
    return stream.getvalue()


def _still(photograph: RGB, stage: Stage | None, number: int, blocks: int, made_up: str) -> Picture:
    drawn = sheet.blank(_SIZE[1], _SIZE[0])
    large = photograph if stage is None else glow(photograph, stage.maps[0])
    title = "The photograph" if stage is None else stage.name
    words = "as the net takes it" if stage is None else TENDS.get(stage.name, "")
    sheet.write(drawn, (_PAD, 16), title, 28, INK, bold=True)
    at = _PAD + sheet.font(28, True).getlength(title) + 16
    sheet.write(drawn, (at, 24), words, 18, SOFT)
    if made_up:
        sheet.write(drawn, (_SIZE[0] - _PAD - 200, 24), made_up, 16, MARK)
    sheet.place(drawn, (_PAD, 64), large, _LARGE)
    if stage is None:
        left = _PAD + _LARGE + 28
        sheet.write(drawn, (left, 72), _WORDS, 19, SOFT, width=_SIZE[0] - _PAD - left)
    else:
        _small(drawn, photograph, stage)
    _depth(drawn, stage, number, blocks)
    return drawn


def _small(drawn: Picture, photograph: RGB, stage: Stage) -> None:
    left = _PAD + _LARGE + 2 * _GAP
    side = (_LARGE - 2 * _GAP) // 3
    for place, values in enumerate(stage.maps[1:CHANNELS]):
        row, column = divmod(place, 3)
        at = (left + column * (side + _GAP), 64 + row * (side + _GAP))
        sheet.place(drawn, at, glow(photograph, values), side)


def _depth(drawn: Picture, stage: Stage | None, number: int, blocks: int) -> None:
    """A bar that says how deep in the net we are."""
    top, left, right = _SIZE[1] - 74, _PAD, _SIZE[0] - _PAD
    draw = ImageDraw.Draw(drawn)
    step = (right - left) / blocks
    for i in range(blocks):
        box = (left + i * step, top, left + (i + 1) * step - 4, top + 8)
        draw.rectangle(box, fill=MARK if i < number else LINE)
    if stage is None:
        text = f"{blocks} cuts, from edges to the lesion as a whole"
    else:
        depth = f"cut {number} of {blocks}: {stage.layer}"
        text = f"{depth}; {stage.total} channels, the strongest ones shown"
    sheet.write(drawn, (left, top + 22), text, 17, SOFT)
