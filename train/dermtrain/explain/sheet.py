"""A dark sheet, like a lightbox, with pictures and plain words on it."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dermedge import atomic

GROUND, PANEL, LINE = "#0f141a", "#1a222b", "#33404d"
INK, SOFT = "#eef2f6", "#a3b0bd"
FOR, AGAINST, MARK = "#ff9a3c", "#5aaeff", "#ffd54a"  # told apart with every kind of colour vision
WIDTH, MARGIN = 1800, 48
TITLE, WORDS, SMALL = 40, 22, 18  # type sizes, pixels
TIMES = "\N{MULTIPLICATION SIGN}"

Picture = Image.Image


def blank(height: int, width: int = WIDTH) -> Picture:
    """An empty sheet."""
    return Image.new("RGB", (width, height), GROUND)


def write(
    sheet: Picture,
    at: tuple[float, float],
    text: str,
    size: int = WORDS,
    colour: str = INK,
    bold: bool = False,
    width: float | None = None,
    middle: bool = False,
) -> float:
    """Write words and tell where the next line would begin.

    Args:
        sheet: Where.
        at: Left (or, with `middle`, middle) and top, pixels.
        text: What; lines are broken at newlines, and where they are wider than `width`.
        size: Of the type, pixels.
        colour: Of the type.
        bold: Bold type.
        width: Widest line, pixels.
        middle: Centre each line.

    Returns:
        Top of the line below, pixels.
    """
    type_ = font(size, bold)
    left, top = at
    draw = ImageDraw.Draw(sheet)
    for line in _lines(text, type_, width):
        draw.text((left, top), line, font=type_, fill=colour, anchor="ma" if middle else "la")
        top += size * 1.32
    return top


def shorten(text: str, size: int, width: float, bold: bool = False) -> str:
    """A name that fits into a width: its middle gives way to an ellipsis."""
    type_ = font(size, bold)
    if type_.getlength(text) <= width:
        return text
    for keep in range(len(text), 0, -1):
        short = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
        if type_.getlength(short) <= width:
            return short
    return "…"


def place(
    sheet: Picture,
    at: tuple[int, int],
    pixels: npt.NDArray[np.uint8],
    side: int | tuple[int, int],
    crisp: bool = False,
    frame: str | None = None,
) -> None:
    """Put a picture on the sheet, scaled to a side (or width and height), pixels.

    Args:
        sheet: Where.
        at: Left and top, pixels.
        pixels: uint8 (height, width, 3), RGB.
        side: How large.
        crisp: Keep the pixels square instead of smoothing them.
        frame: Colour of a frame around it.
    """
    size = (side, side) if isinstance(side, int) else side
    how = Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS
    sheet.paste(Image.fromarray(pixels).resize(size, how), at)
    if frame:
        box = (at[0] - 3, at[1] - 3, at[0] + size[0] + 2, at[1] + size[1] + 2)
        ImageDraw.Draw(sheet).rectangle(box, outline=frame, width=3)


def save(sheet: Picture, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all."""
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    atomic.write_bytes(path, stream.getvalue())


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)


def _lines(text: str, type_: ImageFont.FreeTypeFont, width: float | None) -> list[str]:
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and width is not None and type_.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines
