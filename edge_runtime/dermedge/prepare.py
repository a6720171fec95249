"""RGB uint8 -> the input array that the contract asks for: the only preprocessing there is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.contract import Input
from dermedge.image import RGB

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}


@dataclass(frozen=True, slots=True)
class View:
    """What a model sees of one photograph, still in RGB.

    Attributes:
        pixels: uint8 (spec.height, spec.width, 3).
        part: The same pixels without the black that `pad` adds; at least one.
    """

    pixels: RGB
    part: RGB


def prepare(image: RGB, spec: Input) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Resize one photograph and express its pixels as the model expects them: see the two steps."""
    return express(view(image, spec).pixels, spec)


def view(image: RGB, spec: Input) -> View:
    """Resize one photograph, uint8 (height, width, 3), RGB, upright, to the contract's input."""
    return _RESIZE[spec.resize](image, spec)


def express(pixels: RGB, spec: Input) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Pixels of a view as the model expects them.

    Returns:
        (1, spec.height, spec.width, 3) in the colour order of the contract: the uint8 pixels if
        scale is 1 and offset 0, else float32 `pixel * scale + offset`.
    """
    ordered = pixels[:, :, ::-1] if spec.colour == "bgr" else pixels
    batch = np.ascontiguousarray(ordered)[np.newaxis]
    if spec.scale == 1.0 and spec.offset == 0.0:
        return batch
    return batch.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)


def _stretch(image: RGB, spec: Input) -> View:
    size = (spec.width, spec.height)
    pixels: RGB = cv2.resize(image, size, interpolation=_INTERPOLATION[spec.interpolation])  # type: ignore[assignment]
    return View(pixels, pixels)


def _pad(image: RGB, spec: Input) -> View:
    """Scale until the whole photograph fits, black around it."""
    height, width = image.shape[:2]
    ratio = min(spec.height / height, spec.width / width)
    rows, columns = max(1, round(height * ratio)), max(1, round(width * ratio))
    size = (columns, rows)
    fitted = cv2.resize(image, size, interpolation=_INTERPOLATION[spec.interpolation])
    canvas = np.zeros((spec.height, spec.width, 3), np.uint8)
    top, left = (spec.height - rows) // 2, (spec.width - columns) // 2
    part = canvas[top : top + rows, left : left + columns]
    part[:] = fitted
    return View(canvas, part)


def _crop(image: RGB, spec: Input) -> View:
    """Take the largest centred part that has the model's aspect ratio."""
    height, width = image.shape[:2]
    ratio = min(height / spec.height, width / spec.width)
    rows, columns = max(1, round(spec.height * ratio)), max(1, round(spec.width * ratio))
    top, left = (height - rows) // 2, (width - columns) // 2
    return _stretch(image[top : top + rows, left : left + columns], spec)


_RESIZE = {"stretch": _stretch, "pad": _pad, "crop": _crop}
