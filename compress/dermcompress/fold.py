"""Batch normalisation and activation folded into the convolution before them: fewer layers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras as keras

from dermcompress.graph import Node, nodes, retrace
from dermcompress.rebuild import copied

layers = keras.layers
_LINEAR = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def fold(model: keras.Model) -> keras.Model:
    """The same function, each convolution with the normalisation and the activation behind it.

    y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta is a convolution again (with a
    bias). What a convolution shares with another reader stays as it is.

    TFMOT leaves a Conv2D in float that an activation layer follows without normalisation between
    them; with the activation inside, it quantizes both.
    """
    known = nodes(model)
    taken = _taken(known, model.output_names)
    gone = {name for one in taken.values() for name in one.names}

    def make(node: Node) -> keras.layers.Layer | None:
        return None if node.name in gone else copied(node.layer, **_changes(taken.get(node.name)))

    folded = retrace(model, make)
    for node in known:
        if node.name not in gone and node.layer.weights:
            values, one = node.layer.get_weights(), taken.get(node.name)
            if one and one.norm:
                values = _folded(node.layer, values, one.norm)
            folded.get_layer(node.name).set_weights(values)
    return folded


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a convolution takes in: names of the layers, the normalisation, the activation."""

    names: tuple[str, ...]
    norm: Any
    activation: str | None


def _taken(known: list[Node], shown: Collection[str]) -> dict[str, _Taken]:
    """What each convolution can take in; `shown` are the outputs, which the net's user reads."""
    followers, taken = _followers(known), {}
    followers = {name: node for name, node in followers.items() if name not in shown}
    for node in known:
        if not _linear(node.layer):
            continue
        names, norm = [], None
        after = followers.get(node.name)
        if after and isinstance(after.layer, layers.BatchNormalization):
            names, norm = [after.name], after.layer
            after = followers.get(after.name)
        activation = _activation(after.layer) if after else None
        if after and activation:
            names.append(after.name)
        taken[node.name] = _Taken(tuple(names), norm, activation)
    return taken


def _linear(layer: Any) -> bool:
    """Whether a layer is a convolution (but no transposed one) without an activation."""
    if not isinstance(layer, _LINEAR) or isinstance(layer, layers.Conv2DTranspose):
        return False
    return layer.activation == keras.activations.linear


def _changes(taken: _Taken | None) -> dict[str, Any]:
    """How a convolution's configuration changes with what it takes in."""
    bias = {"use_bias": True} if taken and taken.norm else {}
    return {**bias, "activation": taken.activation} if taken and taken.activation else bias


def _followers(known: list[Node]) -> dict[str, Node]:
    """The only layer that reads an output, where there is only one."""
    readers: dict[str, list[Node]] = {}
    for node in known:
        for source in node.sources:
            readers.setdefault(source, []).append(node)
    return {name: found[0] for name, found in readers.items() if len(found) == 1}


def _activation(layer: Any) -> str | None:
    """Name of the function that a layer applies, if a convolution can apply it as well."""
    if isinstance(layer, layers.Activation):
        name = keras.activations.serialize(layer.activation)
        return name if name in ("relu", "sigmoid", "swish") else None
    if isinstance(layer, layers.ReLU) and not layer.negative_slope and not layer.threshold:
        most = None if layer.max_value is None else float(layer.max_value)
        return {None: "relu", 6.0: "relu6"}.get(most)
    return None


def _folded(layer: Any, values: list, norm: Any) -> list:
    kernel, bias = values[0], values[1] if len(values) > 1 else 0.0
    scale = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    if norm.scale:
        scale = scale * norm.gamma.numpy()
    shift = norm.beta.numpy() if norm.center else 0.0
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    along = scale.reshape(kernel.shape[2:]) if depthwise else scale
    bias = (bias - norm.moving_mean.numpy()) * scale + shift
    return [(kernel * along).astype(np.float32), bias.astype(np.float32)]
