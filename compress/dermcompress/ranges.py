"""Ranges of activations for int8: what photographs show, written into a quantization-aware net."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress.graph import mixes, nodes
from dermcompress.rebuild import copied
from dermtrain import backbone, weights

Ranges = dict[str, tuple[float, float]]  # name -> least and greatest value

_BATCH = 16
_WHITE = 255.0
_WITHIN = 95  # percentile of the photographs' extremes
_BEFORE = "pre_activation"  # TFMOT's variables for what goes into a sigmoid, tanh, softmax or gelu


def measure(aware: keras.Model, net: keras.Model, pixels: npt.NDArray[np.uint8]) -> None:
    """Set every range of a quantization-aware net to what the net itself shows on photographs.

    Args:
        aware: The net, as TFMOT has wrapped it; changed in place.
        net: The same in float.
        pixels: uint8 (photographs, side, side, 3).
    """
    found = _ranges(net, pixels, [_bare(x) for x in aware.layers if _asks_before(x)])
    for layer in aware.layers:
        _set_range(layer, found)


def pixel_ranges(net: keras.Model) -> Ranges:
    """Layer name -> least and greatest output, of layers that scale single pixels, for any picture.

    Photographs show a narrower range, which would cut off the blackest and the whitest of other
    ones: with ResNet50's normalisation that was most of the noise of int8.
    """
    found = {}
    for node in nodes(net):
        layer = node.layer
        reads_pixels = node.sources == (backbone.PIXELS,)
        if reads_pixels and mixes(layer) and getattr(layer, "kernel_size", None) == (1, 1):
            kernel, *bias = layer.get_weights()
            reach = np.stack([np.minimum(kernel, 0), np.maximum(kernel, 0)]).sum((1, 2, 3))
            ends = layer.activation(_WHITE * reach + (bias[0] if bias else 0.0))
            found[node.name] = (float(np.min(ends)), float(np.max(ends)))
    return found


def batches(pixels: npt.NDArray[np.uint8]) -> Iterator[tf.Tensor]:
    """Photographs as float32, a few at a time."""
    for start in range(0, len(pixels), _BATCH):
        yield tf.constant(pixels[start : start + _BATCH].astype(np.float32))


def _ranges(model: keras.Model, pixels: npt.NDArray[np.uint8], before: Collection[str]) -> Ranges:
    """Least and greatest output of every layer: what 95 of 100 photographs stay within.

    Of the layers named in `before`, what goes into the activation as well, as `_before` calls it.
    What the last few show is rare, and all other values would pay for it with coarse steps. The
    mean of each photograph's extremes cuts off half of them: the scores of the most suspicious.
    """
    shown = {layer.name: layer.output for layer in model.layers if layer.name != backbone.PIXELS}
    shown |= {_before(name): _linear(model.get_layer(name)) for name in before}
    probe = keras.Model(model.input, list(shown.values()))

    @tf.function(reduce_retracing=True)
    def extremes(x: tf.Tensor) -> tf.Tensor:
        outputs = probe(x, training=False)
        flat = [tf.reshape(y, (tf.shape(y)[0], -1)) for y in outputs]
        return tf.stack([(tf.reduce_min(y, 1), tf.reduce_max(y, 1)) for y in flat])

    each = [extremes(batch).numpy() for batch in batches(pixels)]
    least, most = np.concatenate(each, axis=-1).swapaxes(0, 1)  # (layers, photographs)
    ends = np.percentile(least, 100 - _WITHIN, axis=1), np.percentile(most, _WITHIN, axis=1)
    seen = zip(shown, *ends, strict=True)
    return {name: (float(a), float(b)) for name, a, b in seen} | pixel_ranges(model)


def _before(name: str) -> str:
    return f"{name}/{_BEFORE}"


def _linear(layer: Any) -> Any:
    """What a layer gives before its activation."""
    linear = copied(layer, activation="linear", name=f"{layer.name}_{_BEFORE}")
    output = linear(layer.get_input_at(0))
    linear.set_weights(layer.get_weights())
    return output


def _asks_before(layer: keras.layers.Layer) -> bool:
    """Whether TFMOT quantizes what goes into a layer's activation."""
    return any(weights.short(weight.name).startswith(_BEFORE) for weight in layer.weights)


def _bare(layer: keras.layers.Layer) -> str:
    """The name of a layer before TFMOT wrapped it."""
    return layer.name.removeprefix("quant_").removeprefix("prune_low_magnitude_")


def _set_range(layer: Any, ranges: Ranges) -> None:
    """Write a layer's ranges into the variables of its quantizers, if it has any."""
    # The input takes pixels: with exactly 0 to 255 a step is one grey level, and a phone or a
    # camera can hand over its bytes as they are.
    name, pixels = _bare(layer), (0.0, _WHITE)
    for weight in layer.weights:
        variable = weights.short(weight.name)
        if variable.startswith(("kernel", "depthwise_kernel")):
            continue  # by channel, taken from the weights themselves
        key = _before(name) if variable.startswith(_BEFORE) else name
        low, high = ranges.get(key, pixels)
        if variable.endswith("_min"):
            weight.assign(min(low, 0.0))
        elif variable.endswith("_max"):
            weight.assign(max(high, 0.0))
