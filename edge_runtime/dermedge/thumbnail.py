"""A small square of a frame, at once: what is measured on every frame needs no more."""

from __future__ import annotations

import cv2

from dermedge.image import RGB

SIDE = 64


def thumbnail(image: RGB) -> RGB:
    """Scale to a square, uint8 (64, 64, 3), RGB, whatever the shape of `image`.

    Each of its pixels is the mean of 4 x 4 of the frame's: enough against noise, and on a frame of
    1280 x 960 six times as fast as the mean of all. A thumbnail's own is itself.
    """
    if image.shape[:2] == (SIDE, SIDE):
        return image
    some = cv2.resize(image, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(some, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
