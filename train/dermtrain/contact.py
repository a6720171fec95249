"""A contact sheet: pictures in a grid under headings, each with a caption, as one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dermedge import atomic
from dermedge.contract import NOTICE
from dermedge.image import RGB

_GAP, _LINE, _HEADING = 8, 15, 52
_INK, _GREY, _PAPER = (25, 25, 25), (105, 105, 105), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Section:
    """One grid of a sheet.

    Attributes:
        heading: Stands above it.
        note: Explains it in one line.
        tiles: Caption (up to two lines) and picture, uint8 (height, width, 3) RGB.
    """

    heading: str
    note: str
    tiles: Sequence[tuple[str, RGB]]


def draw(path: Path, title: str, sections: Sequence[Section], columns: int, tile: int) -> None:
    """Write a sheet as PNG, whole or not at all; the notice stands at its foot.

    Args:
        path: Where to.
        title: Stands above everything; says where the pictures come from.
        sections: What to show, from top to bottom.
        columns: Pictures in a row.
        tile: Longest side of a picture on the sheet, pixels.

    Raises:
        StorageError: It can't be written.
    """
    width = _GAP + columns * (tile + _GAP)
    steps = [_step(section, tile) for section in sections]
    rows = [-(-len(section.tiles) // columns) for section in sections]
    heights = [_HEADING + count * step for count, step in zip(rows, steps, strict=True)]
    height = 2 * _HEADING + sum(heights)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 14), title, _INK, ImageFont.load_default(20))
    top = _HEADING
    for section, step, high in zip(sections, steps, heights, strict=True):
        pen.text((_GAP, top + 4), section.heading, _INK, ImageFont.load_default(17))
        pen.text((_GAP, top + 28), section.note, _GREY, ImageFont.load_default(13))
        for number, (caption, picture) in enumerate(section.tiles):
            row, column = divmod(number, columns)
            left = _GAP + column * (tile + _GAP)
            down = top + _HEADING + row * step
            sheet.paste(Image.fromarray(_fit(picture, tile)), (left, down))
            pen.text((left, down + tile + 2), caption, _INK, ImageFont.load_default(12), spacing=2)
        top += high
    pen.text((_GAP, top + 14), NOTICE, _GREY, ImageFont.load_default(12))
    with atomic.whole(path) as temporary:
        sheet.save(temporary, format="PNG")


def _step(section: Section, tile: int) -> int:
    """From one row of a section to the next, pixels."""
    lines = max((caption.count("\n") + 1 for caption, _ in section.tiles), default=1)
    return tile + lines * _LINE + 2 * _GAP


def _fit(picture: RGB, tile: int) -> RGB:
    """Shrink a picture to the tile; smaller ones keep their size, so that a crop looks cropped."""
    height, width = picture.shape[:2]
    scale = min(1.0, tile / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
