"""The outputs of a net's layers on some photographs: computed when asked for, dropped in time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress.graph import Node, nodes
from dermtrain.features import half

_BATCH = 16

Maps = npt.NDArray[np.float16]  # (photographs, height, width, channels) or (photographs, channels)


class Flow:
    """A net at work on a fixed set of photographs, one layer at a time.

    Args:
        model: A functional net; a layer's weights may still change until its output is asked for.
        pixels: uint8 (photographs, side, side, 3).
    """

    def __init__(self, model: keras.Model, pixels: npt.NDArray[np.uint8]) -> None:
        self.nodes = {node.name: node for node in nodes(model)}
        first = next(iter(self.nodes))
        self._maps: dict[str, npt.NDArray] = {first: pixels}

    def of(self, name: str) -> Maps:
        """A layer's output, float16; computed together with all that it needs."""
        if name not in self._maps:
            node = self.nodes[name]
            self._maps[name] = self._run(node, node.layer)
        return self._maps[name]

    def linear(self, name: str) -> Maps:
        """A convolution's or dense layer's output before its activation, float16; not kept."""
        node = self.nodes[name]
        return self._run(node, lambda x: linear(node.layer, x))

    def known(self, name: str) -> bool:
        """Whether a layer's output has been computed and not dropped."""
        return name in self._maps

    def drop(self, names: Collection[str]) -> None:
        """Forget these outputs."""
        for name in names:
            self._maps.pop(name, None)

    def _run(self, node: Node, function: Callable[..., Any]) -> Maps:
        inputs = [self.of(name) for name in node.sources]
        parts = []
        for start in range(0, len(inputs[0]), _BATCH):
            x = [tf.constant(maps[start : start + _BATCH].astype(np.float32)) for maps in inputs]
            parts.append(half(function(x if len(x) > 1 else x[0]).numpy()))
        return np.concatenate(parts)


def linear(layer: Any, x: tf.Tensor) -> tf.Tensor:
    """What a convolution or dense layer gives before its activation."""
    if isinstance(layer, keras.layers.Dense):
        y = tf.matmul(x, layer.kernel)
    else:
        y = layer.convolution_op(x, layer.kernel)
    return y + layer.bias if layer.use_bias else y
