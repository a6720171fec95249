"""The filters of the first layer, as the colours that they look for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tf_keras as keras

FIRST = "conv1_conv"


def first_layer(model: keras.Model) -> npt.NDArray[np.float32]:
    """The first layer's filters on RGB pixels.

    The fixed layer `normalise` in front of it changes the order of the colours; both are put
    together here, so that red is red.

    Returns:
        float32 (filters, height, width, 3), RGB.
    """
    kernel = model.get_layer(FIRST).get_weights()[0]
    colours = model.get_layer("normalise").get_weights()[0][0, 0]
    return np.einsum("rb,hwbn->nhwr", colours, kernel).astype(np.float32)


def as_pictures(filters: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Filters as pictures: mid-grey where a filter looks at nothing, each at its own full contrast.

    Args:
        filters: float32 (filters, height, width, 3).

    Returns:
        uint8 of the same shape.
    """
    most = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scaled = filters / np.maximum(most, np.finfo(np.float32).tiny)
    return np.round(127.5 + 127.5 * scaled).clip(0, 255).astype(np.uint8)


def by_colour(filters: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Numbers of the filters, from those blind to colour to those that look for it, int64.

    Colourfulness: the part of a filter's energy that is not shared by its three colours.
    """
    grey = filters.mean(axis=-1, keepdims=True)
    energy = np.maximum((filters**2).sum(axis=(1, 2, 3)), np.finfo(np.float32).tiny)
    return np.argsort(((filters - grey) ** 2).sum(axis=(1, 2, 3)) / energy, kind="stable")
