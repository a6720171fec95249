"""Operations of a file against what a runtime knows; and reading files, whole and broken."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

import dermtrain  # noqa: F401  (Keras 2, before TensorFlow loads)

pytestmark = pytest.mark.tensorflow

import tensorflow as tf
import tf_keras as keras

from dermcompress import flatbuffer, opset, probe_opset
from dermedge.errors import InputError

LITERT, TFLITE = "ai-edge-litert 2.3.0", "tflite-runtime 2.14.0"
BROWSER = "LiteRT.js 2.5.3 (wasm)"
TINY = (Path(__file__).parent.parent / "fixtures" / "tiny_int8.tflite").read_bytes()


def convert(*layers: keras.layers.Layer, dynamic_range: bool = False) -> bytes:
    net = keras.Sequential([keras.Input((32, 32, 3), batch_size=1), *layers])
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    if dynamic_range:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


@pytest.fixture(scope="module")
def dynamic() -> bytes:
    """A file with int8 weights and float activations."""
    layers = keras.layers
    pool = layers.GlobalAveragePooling2D()
    return convert(layers.Conv2D(64, 3, 4), pool, layers.Dense(64), dynamic_range=True)


def test_a_plain_float_net_opens_on_every_runtime():
    layers = keras.layers
    model = convert(layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D())
    assert opset.missing(model) == {BROWSER: [], LITERT: [], TFLITE: []}


def test_a_dynamic_range_file_is_too_new_for_an_old_runtime(dynamic: bytes):
    found = opset.missing(dynamic)
    assert found[LITERT] == found[BROWSER] == []
    (lack,) = [line for line in found[TFLITE] if "FULLY_CONNECTED" in line]
    assert "version 12 (known up to version 10)" in lack
    assert "StatefulPartitionedCall" in lack


def test_a_custom_operation_is_known_to_none(dynamic: bytes):
    model = flatbuffer.read(dynamic)
    model.operatorCodes[0].builtinCode = flatbuffer.schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = flatbuffer.schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"FlexErf"
    for lacks in opset.missing(flatbuffer.write(model)).values():
        assert any(line.startswith("FlexErf version") and "not known" in line for line in lacks)


def test_what_is_stored_is_what_the_installed_runtime_answers():
    ((runtime, highest),) = probe_opset.measure(sys.executable).items()
    if runtime not in opset.known():
        pytest.skip(f"{runtime} is not among the runtimes that were measured")
    assert opset.known()[runtime] == highest


def test_a_file_is_written_as_it_was_read():
    model = flatbuffer.read(TINY)
    written = flatbuffer.write(model)
    assert written == flatbuffer.write(flatbuffer.read(written))
    again = flatbuffer.read(written)
    assert flatbuffer.operations(again) == flatbuffer.operations(model)
    assert flatbuffer.outputs(again) == flatbuffer.outputs(model)
    for before, after in zip(model.buffers, again.buffers, strict=True):
        np.testing.assert_array_equal(before.data, after.data)
    Interpreter(model_content=written).allocate_tensors()


def test_every_buffer_is_aligned_as_the_schema_asks():
    written = flatbuffer.write(flatbuffer.read(TINY))
    start = np.frombuffer(written, np.uint8).__array_interface__["data"][0]
    arrays = [buffer.data for buffer in flatbuffer.read(written).buffers]
    offsets = [a.__array_interface__["data"][0] - start for a in arrays if a is not None]
    assert offsets
    assert {offset % 16 for offset in offsets} == {0}


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK\x03\x04" * 9, TINY[: len(TINY) // 2]])
def test_what_is_no_model_is_refused(data: bytes):
    with pytest.raises(InputError, match=r"\.tflite file"):
        opset.missing(data)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(8, len(TINY) - 1), st.integers(0, 255)), max_size=8),
    st.integers(8, len(TINY)),
)
def test_an_altered_file_is_read_or_refused_in_words(changes: list, length: int):
    data = bytearray(TINY)
    for position, value in changes:
        data[position] = value
    try:
        model = flatbuffer.read(bytes(data[:length]))
    except InputError:
        return
    flatbuffer.operations(model)
    flatbuffer.outputs(model)
