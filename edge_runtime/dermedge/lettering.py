"""Words on a picture."""

from __future__ import annotations

import cv2

from dermedge.image import RGB

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write(
    canvas: RGB,
    text: str,
    at: tuple[int, int],
    scale: float,
    colour: tuple[int, int, int] = (255, 255, 255),
    end: int | None = None,
) -> None:
    """Write one line, smaller if it is too long for its room; nothing without any room.

    Args:
        canvas: Is written on.
        text: ASCII; OpenCV 4 shows anything else as question marks.
        at: Left end of the line, and its baseline, pixels.
        scale: 1.0 for capitals of about 22 pixels.
        colour: RGB.
        end: Where its room ends, pixels; default: as far from the right edge as `at` from the left.
    """
    room = (canvas.shape[1] - at[0] if end is None else end) - at[0]
    if room <= 0:  # OpenCV 5.0 crashes on letters of a negative size
        return
    scale *= min(1.0, room / max(width(text, scale), 1))
    cv2.putText(canvas, text, at, _FONT, scale, colour, 1, cv2.LINE_AA)


def width(text: str, scale: float) -> int:
    """How wide a line is, pixels."""
    return cv2.getTextSize(text, _FONT, scale, 1)[0][0]
