"""Lines over a live picture that show how to hold the camera."""

from __future__ import annotations

import cv2

from dermedge import field
from dermedge.contract import Input
from dermedge.image import RGB

RING = 0.6  # of the field's shorter side: the lesion within it, bare skin around it

_CORNER = 0.08  # of the field's shorter side: length of the lines that mark a corner
_LIGHT, _DARK = (255, 255, 255), (0, 0, 0)  # RGB: one of them is seen on any skin


def draw(picture: RGB, spec: Input) -> RGB:
    """Mark the corners of what the model sees, and a ring where the lesion belongs.

    Args:
        picture: uint8 (height, width, 3), RGB: a frame at any size.
        spec: The contract's input section: says where the model looks.

    Returns:
        A new image of the picture's shape.
    """
    height, width = picture.shape[:2]
    rows, columns = field.of(height, width, spec).within(height, width)
    drawn = picture.copy()
    centre = (columns.start + columns.stop) // 2, (rows.start + rows.stop) // 2
    side = min(rows.stop - rows.start, columns.stop - columns.start)
    for colour, thickness in ((_DARK, 3), (_LIGHT, 1)):
        cv2.circle(drawn, centre, round(side * RING / 2), colour, thickness, cv2.LINE_AA)
        for down in (rows.start + 1, rows.stop - 2):
            for across in (columns.start + 1, columns.stop - 2):
                _corner(drawn, (across, down), centre, round(side * _CORNER), colour, thickness)
    return drawn


def _corner(
    drawn: RGB,
    at: tuple[int, int],
    centre: tuple[int, int],
    length: int,
    colour: tuple[int, int, int],
    thickness: int,
) -> None:
    """Two lines from a corner towards the middle."""
    across = length if at[0] < centre[0] else -length
    down = length if at[1] < centre[1] else -length
    cv2.line(drawn, at, (at[0] + across, at[1]), colour, thickness)
    cv2.line(drawn, at, (at[0], at[1] + down), colour, thickness)
