"""The same net with fewer channels, or for another input size: the graph really gets smaller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress.graph import Channels, Mask, Node, mixes, retrace
from dermtrain import weights

_Values = npt.NDArray[np.float32]
layers = keras.layers


def cut(model: keras.Model, channels: Channels, leaving: set[int]) -> keras.Model:
    """Leave channels out of a net.

    Args:
        model: The net.
        channels: Its channels.
        leaving: Numbers of those that go.

    Raises:
        ValueError: One of them is fixed, or a layer would be left without channels.
    """
    if stuck := leaving & channels.fixed:
        raise ValueError(f"{len(stuck)} of the channels can't leave")
    stays = channels.masks(leaving)
    if empty := [name for name, mask in stays.items() if not mask.any()]:
        raise ValueError(f"nothing would be left of {', '.join(empty[:3])}")
    slim = retrace(model, lambda node: _smaller(node.layer, int(stays[node.name].sum())))
    for node in channels.nodes:
        if node.layer.weights:
            read = stays[node.sources[0]]
            slim.get_layer(node.name).set_weights(_sliced(node, read, stays[node.name]))
    return slim


def resized(model: keras.Model, size: int) -> keras.Model:
    """The same net, with the same weights, for square photographs of another side, pixels."""
    other = retrace(model, lambda node: copied(node.layer), size)
    other.set_weights(model.get_weights())
    return other


def copied(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """A fresh layer of the same configuration, but for some changes; its weights are new."""
    fresh = layer.__class__.from_config({**layer.get_config(), **changes})
    fresh.trainable = layer.trainable
    return fresh


def with_shapes(
    model: keras.Model, arrays: Mapping[str, Mapping[str, _Values]], size: int
) -> keras.Model:
    """The net that these weights describe: `model`'s graph, with the widths and values of `arrays`.

    Args:
        model: A net of the same layers.
        arrays: Layer name -> variable name -> values, see `dermtrain.weights.read`.
        size: Side of its square input, pixels.
    """

    def make(node: Node) -> keras.layers.Layer:
        kernel = arrays.get(node.name, {}).get("kernel")
        return _smaller(node.layer, 0 if kernel is None else int(kernel.shape[-1]))

    slim = retrace(model, make, size)
    for name, values in arrays.items():
        layer = slim.get_layer(name)
        layer.set_weights([values[weights.short(w.name)] for w in layer.weights])
    return slim


def _smaller(layer: Any, width: int) -> keras.layers.Layer:
    """A fresh layer that writes `width` channels, if it is one that decides how many."""
    if isinstance(layer, layers.Reshape):
        return copied(layer, target_shape=(*layer.target_shape[:-1], -1))  # as many as it is given
    if isinstance(layer, layers.Dense):
        return copied(layer, units=width)
    if mixes(layer):
        return copied(layer, filters=width)
    return copied(layer)


def _sliced(node: Node, read: Mask, written: Mask) -> list[_Values]:
    """A layer's weights for the channels that stay."""
    layer, values = node.layer, node.layer.get_weights()
    if read.all() and written.all():  # also every layer that is not known
        return values
    if isinstance(layer, layers.DepthwiseConv2D):  # (h, w, channels, 1), (channels,)
        return [values[0][:, :, written], *(v[written] for v in values[1:])]
    if mixes(layer):  # (..., in, out), (out,)
        return [values[0][..., read, :][..., written], *(v[written] for v in values[1:])]
    return [v[written] if v.shape == written.shape else v for v in values]
