"""Keras -> .tflite with batch 1: the only caller of the converter."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from dermedge.quiet import quiet


def to_float(model: keras.Model) -> bytes:
    """A float32 .tflite of a model's first output: float32 pixels in, float32 logits out."""
    converter = _converter(model)
    with quiet():
        return converter.convert()


def to_int8(model: keras.Model) -> bytes:
    """An int8 .tflite of a quantization-aware model's first output: uint8 pixels in, float32 out.

    The ranges are those that training has seen; only the average of the class-activation map stays
    in float.
    """
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    with quiet():
        return converter.convert()


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    """Batch 1 stands in the graph itself: LiteRT in a browser refuses an open batch dimension."""
    several = len(model.outputs) > 1

    def run(pixels: tf.Tensor) -> tf.Tensor:
        outputs = model(pixels, training=False)
        return outputs[0] if several else outputs

    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="pixels")
    concrete = tf.function(run).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
