"""Batch normalisation folded into the convolution before it: the same function, fewer parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tf_keras as keras


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution: kernel (h, w, in, out) and bias (out,), float32."""

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def fold(model: keras.Model) -> dict[str, Conv]:
    """All convolutions of a model by name, each with the BN that follows it folded in.

    y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta is a convolution again.
    """
    convs = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        kernel, bias = layer.get_weights()
        norm = _norm_after(layer)
        if norm is not None:
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            kernel, bias = kernel * scale, (bias - mean) * scale + beta
        convs[layer.name] = Conv(kernel.astype(np.float32), bias.astype(np.float32))
    return convs


def _norm_after(layer: keras.layers.Layer) -> keras.layers.BatchNormalization | None:
    for node in layer.outbound_nodes:
        if isinstance(node.layer, keras.layers.BatchNormalization):
            return node.layer
    return None
