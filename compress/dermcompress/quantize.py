"""Quantization-aware nets with TFMOT: int8 weights by channel, int8 activations, zeros kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs as configs,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_registry as registry,
)

from dermcompress import float_layers, ranges
from dermcompress.student import Student
from dermedge.errors import InputError

# The averages stay in float: the mean of many int8 values of the class-activation map is finer than
# one int8 value, so that the ranking does not collapse to 256 steps.
_FLOAT = (keras.layers.InputLayer, keras.layers.GlobalAveragePooling2D)
_Conv = registry.Default8BitConvQuantizeConfig
_Float = configs.NoOpQuantizeConfig
_FloatToInt8 = configs.Default8BitOutputQuantizeConfig
# Activations that TFMOT can put into steps; relu6 by way of `_config`.
_ACTIVATIONS = frozenset({"linear", "relu", "swish", "gelu", "sigmoid", "tanh", "softmax"})
_CORRECTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
_CONFIGS = (_Conv, _Float, _FloatToInt8)
_scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme


def quantize_aware(
    student: Student, pixels: npt.NDArray[np.uint8], keep: Collection[str] = ()
) -> keras.Model:
    """A copy of a student that computes as int8 arithmetic would, and can learn to.

    TFMOT's moving averages start at -6 to 6 and move by a thousandth a step, far too slow for a
    gentle training; so every range is set to what the student shows on these photographs. Without
    any training that is quantization after training. Biases make up for what the rounding of the
    weights shifts (Nagel et al. 2019).

    Args:
        student: A folded net; its zeros stay zeros (prune-preserving scheme).
        pixels: uint8 (photographs, side, side, 3) to take the ranges from.
        keep: Layers that stay float, see `float_layers.resolve`; what int8 layers read of them
            comes in int8 steps all the same.

    Returns:
        The outputs of `Student.watched`.

    Raises:
        InputError: A layer to keep that is not there, or one that TFMOT can't make anew.
    """
    net = student.watched()
    in_float = float_layers.resolve(student.net, keep) | unknown(student.net)
    bare = float_layers.read_as_float(net, in_float, _FLOAT)

    def annotate(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, _FLOAT):
            return layer
        config = _config(layer)
        if layer.name in in_float:
            config = _Float() if layer.name in bare else _FloatToInt8()
        # What is kept is annotated too: TFMOT would put a quantizer of its own after a layer that
        # is not, or none before an add that reads it.
        return tfmot.quantization.keras.quantize_annotate_layer(layer, config)

    if own := [layer.name for layer in net.layers if not _from_keras(layer)]:
        raise InputError(
            f"int8 can't be simulated in a net with {', '.join(own)}: TFMOT makes each layer anew, "
            "which it can't of a Lambda layer or one of your own. Replace them by Keras's layers, "
            "or choose rungs that are not int8 (float16, dynamic)"
        )
    annotated = keras.models.clone_model(net, clone_function=annotate)
    annotated.set_weights(net.get_weights())
    # TFMOT's own layer for the pixels would be called by how many there were before, also in its
    # .tflite file: the same net has to give the same bytes.
    keras.backend.reset_uids()
    with tfmot.quantization.keras.quantize_scope({kind.__name__: kind for kind in _CONFIGS}):
        model = tfmot.quantization.keras.quantize_apply(annotated, _scheme())
    ranges.measure(model, net, pixels)
    # In inference a weight's range is the last one that training saw: one pass, no step, sets it.
    model(next(ranges.batches(pixels)), training=True)
    _correct(model, _means(net, pixels))
    return model


def unknown(net: keras.Model) -> frozenset[str]:
    """Names of the layers that TFMOT has no int8 for: they stay float, the others go around."""
    tables = registry.Default8BitQuantizeRegistry(), _scheme().get_quantize_registry()
    return frozenset(
        layer.name
        for layer in net.layers
        if not isinstance(layer, _FLOAT)
        and not (all(table.supports(layer) for table in tables) and _is_in_steps(layer))
    )


def _is_in_steps(layer: Any) -> bool:
    """Whether TFMOT knows the layer's activation, if it has one."""
    activation = getattr(layer, "activation", keras.activations.linear)
    return getattr(activation, "__name__", "") in _ACTIVATIONS or _config(layer) is not None


def _from_keras(layer: keras.layers.Layer) -> bool:
    known = getattr(keras.layers, type(layer).__name__, None)
    return type(layer) is known and known is not keras.layers.Lambda


def _config(layer: Any) -> Any:
    """How TFMOT is to quantize a layer, where it does not know by itself.

    It refuses ReLU6 as an activation; quantizing the layer's output comes to the same.
    """
    if getattr(layer, "activation", None) is not tf.nn.relu6 or not layer.weights:
        return None
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel = "depthwise_kernel" if depthwise else "kernel"
    return _Conv([kernel], [], quantize_output=True)


def _means(net: keras.Model, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float64]]:
    """Name of a layer with weights by channel -> mean of its input by channel, float64."""
    layers = [layer for layer in net.layers if _is_corrected(layer)]
    probe = keras.Model(net.input, [layer.get_input_at(0) for layer in layers])

    @tf.function(reduce_retracing=True)
    def sums(x: tf.Tensor) -> list[tf.Tensor]:
        inputs = tf.nest.flatten(probe(x, training=False))
        return [
            tf.reduce_sum(tf.reduce_mean(tf.reshape(y, (len(x), -1, y.shape[-1])), 1), 0)
            for y in inputs
        ]

    each = [[y.numpy().astype(np.float64) for y in sums(batch)] for batch in ranges.batches(pixels)]
    means = (np.sum(parts, axis=0) / len(pixels) for parts in zip(*each, strict=True))
    return {layer.name: mean for layer, mean in zip(layers, means, strict=True)}


def _is_corrected(layer: Any) -> bool:
    return type(layer) in _CORRECTED and layer.use_bias and getattr(layer, "groups", 1) == 1


def _correct(model: keras.Model, means: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Take from each bias what int8 weights add to the layer's output on average.

    Where inputs are far from 0 on average, as behind a ReLU, the rounding of many weights adds up
    to a shift of the channel: with a net whose last stage began at random that was most of the
    noise of int8. (Padding is left out of the mean.)
    """
    for wrapper in model.layers:
        layer: Any = getattr(wrapper, "layer", None)
        if not _is_corrected(layer):
            continue
        for weight, quantizer, held in wrapper._weight_vars:
            rounded = quantizer(weight, training=False, weights=held)
            added = (rounded - weight).numpy().astype(np.float64)
            mean = means[layer.name]
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                shift = (added.sum((0, 1)) * mean[:, None]).reshape(-1)
            else:
                shift = added.reshape(-1, *added.shape[-2:]).sum(0).T @ mean
            layer.bias.assign_sub(shift)
