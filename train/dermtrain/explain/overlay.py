"""Maps laid over a photograph."""

from __future__ import annotations

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from dermedge.image import RGB
from dermtrain.explain.activations import inner
from dermtrain.explain.maps import Map
from dermtrain.explain.sheet import AGAINST, FOR

_DIM = 0.7  # of the photograph's light, so that the colours stand out


def glow(photograph: RGB, values: Map) -> RGB:
    """A map of one sign, dark to bright, over the grey photograph.

    Scaled to its own range without the rim: the lowest quarter is invisible, so that an even ground
    does not veil the photograph, and the highest half percent is full.

    Args:
        photograph: uint8 (height, width, 3), RGB.
        values: float32 of any size.

    Returns:
        uint8 of the photograph's shape.
    """
    low, high = np.percentile(inner(values), (25, 99.5))
    strength = np.clip((_grown(values, photograph) - low) / max(high - low, 1e-12), 0, 1)
    return _heat(photograph, strength)


def signed(photograph: RGB, values: Map, scale: float | None = None) -> RGB:
    """A map of both signs over the grey photograph: what speaks for in orange, against in blue.

    Args:
        photograph: uint8 (height, width, 3), RGB.
        values: float32 of any size.
        scale: Value of full colour; the map's own greatest magnitude by default.
    """
    scale = float(np.abs(values).max()) if scale is None else scale
    part = np.clip(_grown(values, photograph) / max(scale, 1e-12), -1, 1)
    colours = np.where((part > 0)[..., None], _rgb(FOR), _rgb(AGAINST))
    return _blend(photograph, colours, 0.85 * np.abs(part) ** 0.8)


def heat_bar(width: int, height: int) -> RGB:
    """The colours of `glow`, from nothing to most."""
    return _heat(
        np.full((height, width, 3), 90, np.uint8), np.tile(np.linspace(0, 1, width), (height, 1))
    )


def signed_bar(width: int, height: int) -> RGB:
    """The colours of `signed`, from against to for."""
    grey = np.full((height, width, 3), 90, np.uint8)
    return signed(grey, np.repeat(np.linspace(-1, 1, width, dtype=np.float32)[None], height, 0), 1)


def _grown(values: Map, photograph: RGB) -> Map:
    height, width = photograph.shape[:2]
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _heat(photograph: RGB, strength: npt.NDArray) -> RGB:
    return _blend(photograph, _HEAT[np.round(strength * 255).astype(int)], 0.92 * strength**0.75)


def _blend(photograph: RGB, colours: npt.NDArray, opacity: npt.NDArray) -> RGB:
    grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)[..., None] * _DIM
    mixed = grey * (1 - opacity[..., None]) + colours * opacity[..., None]
    return np.round(mixed).clip(0, 255).astype(np.uint8)


def _rgb(colour: str) -> npt.NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float64)


_HEAT = mpl.colormaps["inferno"](np.arange(256))[:, :3] * 255
