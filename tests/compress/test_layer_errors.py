"""Errors of an int8 file layer by layer: small where it is sound, largest where it was damaged."""

import numpy as np
import pytest

import dermtrain  # noqa: F401  (Keras 2, before TensorFlow loads)

pytestmark = pytest.mark.tensorflow

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from dermcompress import flatbuffer
from dermcompress.layer_errors import layer_errors
from dermedge.errors import InputError

SIZE = 32
LAYERS = {"normalise", "first", "wide", "second", "short", "head", "dense"}


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1)
    scale = keras.initializers.Constant(np.eye(3)[None, None] / 128)
    x = layers.Conv2D(3, 1, kernel_initializer=scale, name="normalise")(pixels)
    x = layers.Conv2D(8, 3, 2, activation="relu", name="first")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="wide")(x)
    y = layers.Conv2D(8, 1, name="second")(y)
    x = layers.Add()([y, layers.Conv2D(8, 1, name="short")(x)])
    x = layers.Activation("relu")(x)
    scores = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, name="head")(x))
    dense = layers.Dense(2, name="dense")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, [scores, dense])


def convert(net: keras.Model, calibration: np.ndarray | None = None, int8: bool = False) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
    if calibration is not None:
        converter.representative_dataset = lambda: (
            [photograph[None].astype(np.float32)] for photograph in calibration
        )
    return converter.convert()


@pytest.fixture(scope="module")
def float_file(net: keras.Model) -> bytes:
    return convert(net)


@pytest.fixture(scope="module")
def int8_file(net: keras.Model, photographs: np.ndarray) -> bytes:
    return convert(net, photographs, int8=True)


def test_every_layer_of_a_calibrated_file_is_close(
    float_file: bytes, int8_file: bytes, photographs: np.ndarray
):
    errors = layer_errors(float_file, int8_file, photographs)
    assert {error.layer for error in errors} == LAYERS
    assert all(error.snr_db > 10 and error.cosine > 0.95 for error in errors)
    assert errors[0].snr_db < 60  # int8 is not free
    assert [e.snr_db for e in errors] == sorted(e.snr_db for e in errors)


@pytest.mark.parametrize("layer", ["wide", "second", "dense"])
def test_a_damaged_layer_is_named_worst(
    layer: str, float_file: bytes, int8_file: bytes, photographs: np.ndarray
):
    model = flatbuffer.read(int8_file)
    (kernel,) = [
        tensor
        for tensor in model.subgraphs[0].tensors
        if f"/{layer}/" in tensor.name.decode()
        and model.buffers[tensor.buffer].data is not None
        and tensor.type == flatbuffer.schema.TensorType.INT8
    ]
    buffer = model.buffers[kernel.buffer]
    buffer.data = (-buffer.data.view(np.int8)).view(np.uint8)
    errors = layer_errors(float_file, flatbuffer.write(model), photographs)
    assert errors[0].layer == layer
    assert errors[0].snr_db < 5
    assert max(errors, key=lambda error: error.added).layer == layer


def test_noise_that_is_handed_on_is_not_counted_as_a_layer_s_own(
    float_file: bytes, int8_file: bytes, photographs: np.ndarray
):
    model = flatbuffer.read(int8_file)
    (kernel,) = [
        tensor
        for tensor in model.subgraphs[0].tensors
        if "/first/" in tensor.name.decode()
        and tensor.type == flatbuffer.schema.TensorType.INT8
        and model.buffers[tensor.buffer].data is not None
    ]
    buffer = model.buffers[kernel.buffer]
    coarse = np.rint(buffer.data.view(np.int8) / 64) * 64  # as if it had four steps
    buffer.data = coarse.clip(-127, 127).astype(np.int8).view(np.uint8)
    errors = layer_errors(float_file, flatbuffer.write(model), photographs)
    found = {error.layer: error for error in errors}
    assert found["wide"].snr_db < 20  # what stands behind it is no better
    assert max(errors, key=lambda error: error.added).layer == "first"
    assert found["first"].added == pytest.approx(10 ** (-found["first"].snr_db / 10), rel=0.1)
    assert found["head"].added < 0.1 * found["first"].added


def test_a_file_is_equal_to_itself(float_file: bytes, photographs: np.ndarray):
    errors = layer_errors(float_file, float_file, photographs[:1])
    assert {(e.snr_db, e.cosine) for e in errors} == {(float("inf"), 1.0)}
    assert max(e.added for e in errors) < 1e-12  # another kernel may sum in another order


def test_the_figures_are_those_of_the_formula(float_file: bytes, photographs: np.ndarray):
    model = flatbuffer.read(float_file)
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        data = model.buffers[tensor.buffer].data
        if "/dense/" in tensor.name.decode() and data is not None:
            model.buffers[tensor.buffer].data = (data.view(np.float32) * 1.1).view(np.uint8)
    worst = layer_errors(float_file, flatbuffer.write(model), photographs)[0]
    # 1.1 x against x: noise is 0.1 x, 20 dB below, and the direction stays.
    assert worst.layer == "dense"
    assert worst.snr_db == pytest.approx(20, abs=0.01)
    assert worst.cosine == pytest.approx(1, abs=1e-6)


def test_layers_keep_their_names_through_quantization_aware_training(
    net: keras.Model, float_file: bytes, photographs: np.ndarray
):
    aware = tfmot.quantization.keras.quantize_model(net)
    aware(photographs[:1].astype(np.float32), training=True)
    errors = layer_errors(float_file, convert(aware, int8=True), photographs[:1])
    assert {error.layer for error in errors} == LAYERS


def test_files_of_other_nets_are_refused(float_file: bytes, photographs: np.ndarray):
    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1)
    other = convert(keras.Model(pixels, keras.layers.Conv2D(4, 3, name="other")(pixels)))
    with pytest.raises(InputError, match="no layer of the same name"):
        layer_errors(float_file, other, photographs)
    wider = convert(keras.Model(pixels, keras.layers.Conv2D(4, 3, name="first")(pixels)))
    with pytest.raises(InputError, match="the layer first takes and gives"):
        layer_errors(float_file, wider, photographs)


@pytest.mark.parametrize("shape", [(0, SIZE, SIZE, 3), (1, 16, 16, 3)])
def test_photographs_that_do_not_fit_are_refused(shape: tuple[int, ...], float_file: bytes):
    with pytest.raises(InputError, match="expected photographs of"):
        layer_errors(float_file, float_file, np.zeros(shape, np.uint8))
