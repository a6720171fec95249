"""Quantization-aware nets with TFMOT: int8 weights by channel, int8 activations, zeros kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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

from dermcompress import float_layers
from dermcompress.graph import mixes, nodes
from dermcompress.rebuild import copied
from dermcompress.student import Student
from dermedge.errors import InputError
from dermtrain import backbone, weights

# The averages stay in float: the mean of many int8 values of the class-activation map is finer than
# one int8 value, so that the ranking does not collapse to 256 steps.
_FLOAT = (keras.layers.InputLayer, keras.layers.GlobalAveragePooling2D)
_BATCH = 16
_WHITE = 255.0
_WITHIN = 95  # percentile of the photographs' extremes
_Conv = registry.Default8BitConvQuantizeConfig
_Float = configs.NoOpQuantizeConfig
_FloatToInt8 = configs.Default8BitOutputQuantizeConfig
# Activations that TFMOT can put into steps; relu6 by way of `_config`.
_ACTIVATIONS = frozenset({"linear", "relu", "swish", "gelu", "sigmoid", "tanh", "softmax"})
_BEFORE = "pre_activation"  # TFMOT's variables for what goes into a sigmoid, tanh, softmax or gelu
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
    ranges = _ranges(net, pixels, [_bare(x) for x in model.layers if _asks_before(x)])
    for layer in model.layers:
        _set_range(layer, ranges)
    # In inference a weight's range is the last one that training saw: one pass, no step, sets it.
    model(next(_batches(pixels)), training=True)
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


def pixel_ranges(net: keras.Model) -> dict[str, tuple[float, float]]:
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


def _ranges(
    model: keras.Model, pixels: npt.NDArray[np.uint8], before: Collection[str]
) -> dict[str, tuple[float, float]]:
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

    each = [extremes(batch).numpy() for batch in _batches(pixels)]
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


def _batches(pixels: npt.NDArray[np.uint8]) -> Iterator[tf.Tensor]:
    for start in range(0, len(pixels), _BATCH):
        yield tf.constant(pixels[start : start + _BATCH].astype(np.float32))


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

    each = [[y.numpy().astype(np.float64) for y in sums(batch)] for batch in _batches(pixels)]
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


def _set_range(layer: Any, ranges: dict[str, tuple[float, float]]) -> None:
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
