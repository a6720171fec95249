"""A judged frame, or that there is none, as one JPEG of the live picture."""

from __future__ import annotations

import cv2

from dermedge import guide
from dermedge.heatmap import evidence, overlay
from dermedge.image import RGB, to_jpeg
from dermedge.web.newest import Shot
from dermedge.window import nothing

_QUALITY = 80


def jpeg(seen: Shot | str, width: int, heat: bool = False) -> bytes:
    """Encode what is seen, with the lines that guide the hand; without a camera that there is none.

    Args:
        seen: As `Newest.now` gives it.
        width: The frame is scaled down to so many pixels, never up.
        heat: Lay the heat map over it, if the model gives one.
    """
    if isinstance(seen, str):
        return to_jpeg(nothing(seen), _QUALITY)
    diagnosis = seen.sighting.diagnosis
    spec = diagnosis.bundle.contract.input
    picture = _fit(seen.sighting.frame.image, width)
    found = evidence(diagnosis.outputs, diagnosis.bundle.contract) if heat else None
    if found is not None:
        picture = overlay(picture, found, spec)
    return to_jpeg(guide.draw(picture, spec), _QUALITY)


def _fit(image: RGB, width: int) -> RGB:
    height, wide = image.shape[:2]
    if wide <= width:
        return image
    size = (width, max(1, round(height * width / wide)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
