"""Keras -> .tflite with batch 1: the only caller of the converter.

Every file takes RGB pixels, 0 to 255, and gives, in this order: `scores` (logits, float32), and if
asked for the `map` of class activations, whose mean is the scores, and the `embedding`, the pooled
features that the head reads. What is converted has the outputs of `student.Student.watched`.
"""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf
import tf_keras as keras

from dermcompress import flatbuffer, float_layers
from dermedge.contract import Output
from dermedge.quiet import quiet
from dermtrain import backbone

OUTPUTS = (Output("scores"), Output("map", "map"), Output("embedding", "embedding"))


def to_float(net: keras.Model, whole: bool = True) -> bytes:
    """A float32 .tflite: float32 pixels in."""
    return _convert(_converter(net, whole), whole)


def to_float16(net: keras.Model, whole: bool = True) -> bytes:
    """Weights in float16, arithmetic in float32: half the size, no faster on a CPU."""
    converter = _converter(net, whole)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter, whole)


def to_dynamic(net: keras.Model, whole: bool = True) -> bytes:
    """Weights in int8, activations quantized while running."""
    converter = _converter(net, whole)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter, whole)


def to_int8(aware: keras.Model, whole: bool = True, kept: Collection[str] = ()) -> bytes:
    """An int8 .tflite of a quantization-aware net: uint8 pixels in, float32 out.

    The ranges are those that the net holds; only the averages stay in float, and the layers that
    are `kept`, see `float_layers.resolve`.
    """
    converter = _converter(aware, whole)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    found = _convert(converter, whole)
    return float_layers.restore(found, aware, kept) if kept else found


def outputs(whole: bool) -> tuple[Output, ...]:
    """What a file gives, in order; with `whole` also the map and the embedding."""
    return OUTPUTS if whole else OUTPUTS[:1]


def _convert(converter: tf.lite.TFLiteConverter, whole: bool) -> bytes:
    with quiet():
        found = converter.convert()
    # The converter lists them in the order in which they happen to be computed.
    return flatbuffer.order_outputs(found, [output.name for output in outputs(whole)])


def _converter(net: keras.Model, whole: bool) -> tf.lite.TFLiteConverter:
    """Batch 1 stands in the graph itself: LiteRT in a browser refuses an open batch dimension."""

    def run(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        _, activations, features, *_ = net(pixels, training=False)
        more = {"map": activations, "embedding": _mean(features)}
        return {"scores": _mean(activations), **(more if whole else {})}

    spec = tf.TensorSpec((1, *net.input_shape[1:]), tf.float32, name=backbone.PIXELS)
    concrete = tf.function(run).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], net)


def _mean(maps: tf.Tensor) -> tf.Tensor:
    """Mean over height and width, in float in every file.

    The converter lets a mean of int8 values come out in their own steps: scores would collapse to
    256 values. Of a sum, whose range it does not know, it keeps off.
    """
    height, width = (int(side or 0) for side in maps.shape.as_list()[1:3])
    return tf.reduce_sum(maps, (1, 2)) * (1 / (height * width))
