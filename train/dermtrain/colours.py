"""Changes of colour as one matrix: colour constancy, brightness, contrast, saturation and hue."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.image import RGB

Vector = npt.NDArray[np.float64]

# ITU-R BT.601: how bright red, green and blue look, and the axes of brightness and colour (YIQ).
_LUMA = np.array([0.299, 0.587, 0.114])
_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_GREYS = np.arange(256.0)


def minkowski(image: RGB, p: float = 6.0) -> Vector:
    """The Minkowski mean of each channel, `mean(v ** p) ** (1 / p)`.

    Args:
        image: uint8 (height, width, 3), RGB.
        p: 1 is the mean, infinity would be the largest value.

    Returns:
        float64 (3,), grey levels.
    """
    # 256 powers instead of one for each pixel.
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]) for channel in range(3)]
    powers = (_GREYS / 255) ** p
    total = image.shape[0] * image.shape[1]
    return np.array([255 * (powers @ np.ravel(count) / total) ** (1 / p) for count in counts])


def constancy_gain(image: RGB, p: float = 6.0) -> Vector:
    """What to multiply each channel by, so that the light becomes white by shades of grey.

    Finlayson and Trezzi, "Shades of Gray and Colour Constancy" (2004): the Minkowski means of the
    channels are the colour of the light. The light's length stays, as in Barata, Celebi and Marques
    (2015), who brought it to dermoscopy.

    Returns:
        float64 (3,); ones for a black picture or one that lacks a whole colour.
    """
    light = minkowski(image, p)
    if light.min() < 1:  # nothing can be said about such a light
        return np.ones(3)
    return np.linalg.norm(light) / (math.sqrt(3) * light)


def shades_of_grey(image: RGB, p: float = 6.0) -> RGB:
    """Colour constancy in full: the light of the photograph becomes white."""
    return recolour(image, gain=constancy_gain(image, p))


def recolour(
    image: RGB,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
    gain: Vector | None = None,
) -> RGB:
    """Apply every change of colour at once: each is linear, so they are one matrix.

    Args:
        image: uint8 (height, width, 3), RGB.
        brightness: Factor on everything, last.
        contrast: Factor on the distance from the mean grey level.
        saturation: Factor on the distance from a pixel's own grey.
        hue: Turn about the grey axis, degrees; brightness stays.
        gain: Factor on each channel, first.

    Returns:
        uint8 (height, width, 3), RGB; values beyond 0 to 255 are clipped, once.
    """
    turn = math.radians(hue)
    rotate = np.array(
        [[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]]
    )
    matrix = _RGB @ rotate @ _YIQ
    matrix = matrix @ (saturation * np.eye(3) + (1 - saturation) * _LUMA)
    if gain is not None:
        matrix = matrix * gain
    grey = _LUMA @ matrix @ np.array(cv2.mean(image)[:3])
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    whole = np.hstack([brightness * contrast * matrix, offset])
    return np.asarray(cv2.transform(image, whole.astype(np.float32)), np.uint8)
