"""TFLite metadata: what others read of our files, and that the model stays what it was."""

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from flatbuffers import number_types as types
from flatbuffers.table import Table

import dermtrain  # noqa: F401  (Keras 2, before TensorFlow loads)

pytestmark = pytest.mark.tensorflow

import tensorflow as tf
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

from dermcompress import flatbuffer
from dermcompress.metadata import with_metadata
from dermedge import contract
from dermedge.contract import Contract
from dermedge.errors import InputError

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = ("logits", "map", "embedding")
SIZE = 48


@pytest.fixture(scope="module")
def converted() -> bytes:
    """A small net with three outputs, as the converter leaves it."""
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1)
    features = layers.Conv2D(5, 4, 4, activation="relu")(pixels)
    scores = layers.Conv2D(2, 1)(features)
    pool = layers.GlobalAveragePooling2D
    net = keras.Model(pixels, [pool()(scores), scores, pool()(features)])

    def run(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(NAMES, net(pixels), strict=True))

    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="pixels")
    concrete = tf.function(run).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], net).convert()


@pytest.fixture(scope="module")
def model(converted: bytes) -> bytes:
    return flatbuffer.order_outputs(converted, NAMES)


@pytest.fixture(scope="module")
def three(terms: Contract) -> Contract:
    outputs = tuple(contract.Output(name, name) for name in NAMES)
    return dataclasses.replace(terms, outputs=outputs)


def run(model: bytes) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    photograph = np.random.default_rng(0).integers(0, 256, given["shape"])
    interpreter.set_tensor(given["index"], photograph.astype(given["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


class Walk:
    """A flatbuffer table read by field number alone, without the writer's code."""

    def __init__(self, data: bytes, position: int) -> None:
        self.table = Table(data, position)

    def _at(self, field: int) -> int:
        offset = self.table.Offset(4 + 2 * field)
        assert offset, f"field {field} is absent"
        return offset + self.table.Pos

    def has(self, field: int) -> bool:
        return self.table.Offset(4 + 2 * field) != 0

    def text(self, field: int) -> str:
        return self.table.String(self._at(field)).decode()

    def number(self, field: int, kind: type) -> int:
        return self.table.Get(kind, self._at(field))

    def child(self, field: int) -> "Walk":
        return Walk(self.table.Bytes, self.table.Indirect(self._at(field)))

    def children(self, field: int) -> list["Walk"]:
        offset = self._at(field) - self.table.Pos
        start = self.table.Vector(offset)
        length = self.table.VectorLen(offset)
        at = (self.table.Indirect(start + 4 * i) for i in range(length))
        return [Walk(self.table.Bytes, position) for position in at]

    def floats(self, field: int) -> list[float]:
        offset = self._at(field) - self.table.Pos
        return self.table.GetVectorAsNumpy(types.Float32Flags, offset).tolist()


def described(model: bytes) -> Walk:
    content = flatbuffer.read(model)
    (entry,) = [e for e in content.metadata if e.name == b"TFLITE_METADATA"]
    data = content.buffers[entry.buffer].data.tobytes()
    assert data[4:8] == b"M001"
    return Walk(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))


def test_a_reader_finds_name_notice_licence_and_author(model: bytes, three: Contract):
    found = described(with_metadata(model, three, "Tiny net"))
    assert found.text(0) == "Tiny net"
    assert three.notice in found.text(1)
    assert "made-up" in found.text(1)
    assert found.text(2)
    assert found.text(4) == "dermkit"
    assert "CC0-1.0" in found.text(5)
    assert found.text(7) == "1.0.0"


def test_the_input_is_raw_rgb_pixels(model: bytes, three: Contract):
    (graph,) = described(with_metadata(model, three, "Tiny net")).children(3)
    (image,) = graph.children(2)
    content = image.child(3)
    assert content.number(0, types.Uint8Flags) == 2  # ImageProperties
    assert content.child(1).number(0, types.Int8Flags) == 1  # RGB
    size = content.child(1).child(1)
    assert [size.number(i, types.Uint32Flags) for i in (0, 1)] == [SIZE, SIZE]
    (unit,) = image.children(4)
    assert unit.number(0, types.Uint8Flags) == 1  # NormalizationOptions
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0.0], [1.0])
    assert (image.child(5).floats(0), image.child(5).floats(1)) == ([255.0], [0.0])


def test_a_contract_that_normalises_says_so(model: bytes, three: Contract):
    spec = contract.Input(SIZE, SIZE, scale=1 / 127.5, offset=-1.0)
    found = with_metadata(model, dataclasses.replace(three, input=spec), "Tiny net")
    (image,) = described(found).children(3)[0].children(2)
    (unit,) = image.children(4)
    assert unit.child(1).floats(0) + unit.child(1).floats(1) == pytest.approx([127.5, 127.5])
    assert image.child(5).floats(0) + image.child(5).floats(1) == pytest.approx([1.0, -1.0])


def test_every_output_is_named_and_the_scores_have_labels(model: bytes, three: Contract):
    labelled = with_metadata(model, three, "Tiny net")
    outputs = described(labelled).children(3)[0].children(3)
    assert [o.text(0) for o in outputs] == ["scores", "map", "embedding"]
    assert [o.child(3).number(0, types.Uint8Flags) for o in outputs] == [1, 1, 1]  # Feature
    (file,) = outputs[0].children(6)
    assert file.number(2, types.Int8Flags) == 2  # TENSOR_AXIS_LABELS
    assert not any(o.has(6) for o in outputs[1:])
    with zipfile.ZipFile(io.BytesIO(labelled)) as archive:
        assert archive.namelist() == [file.text(0)]
        assert archive.getinfo(file.text(0)).compress_type == zipfile.ZIP_STORED
        assert archive.read(file.text(0)) == b"benign\nmalignant\n"


def test_the_model_computes_what_it_did(model: bytes, three: Contract):
    before, after = run(model), run(with_metadata(model, three, "Tiny net"))
    assert len(before) == len(after) == 3
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["tiny_float", "tiny_int8"])
def test_files_of_one_output_run_as_before(name: str, terms: Contract):
    model = (FIXTURES / f"{name}.tflite").read_bytes()
    (before,), (after,) = run(model), run(with_metadata(model, terms, "Tiny"))
    np.testing.assert_array_equal(before, after)


def test_the_same_inputs_give_the_same_bytes(model: bytes, three: Contract):
    once, again = (with_metadata(model, three, "Tiny net") for _ in range(2))
    assert hashlib.sha256(once).digest() == hashlib.sha256(again).digest()


def test_metadata_is_replaced_not_added(model: bytes, three: Contract):
    once = with_metadata(with_metadata(model, three, "An older name"), three, "Tiny net")
    assert once == with_metadata(model, three, "Tiny net")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {"outputs": t.outputs[:1]}, "expected 1 outputs"),
        (lambda t: {"input": contract.Input(SIZE, SIZE, colour="bgr")}, "RGB only"),
        (lambda t: {"labels": (contract.Label(0, "a\nb", False), t.labels[1])}, "rename"),
    ],
)
def test_what_metadata_cannot_say_is_refused(
    change: Callable[[Contract], dict], says: str, model: bytes, three: Contract
):
    with pytest.raises(InputError, match=says):
        with_metadata(model, dataclasses.replace(three, **change(three)), "Tiny net")


def test_outputs_in_the_converters_order_are_refused(converted: bytes, three: Contract):
    shapes = [output.shape for output in flatbuffer.outputs(flatbuffer.read(converted))]
    assert shapes[0] != (1, 2), "the converter keeps the order now: order_outputs can go"
    with pytest.raises(InputError, match="order_outputs"):
        with_metadata(converted, three, "Tiny net")


def test_outputs_are_put_in_order_by_name(converted: bytes, model: bytes):
    shapes = [output.shape for output in flatbuffer.outputs(flatbuffer.read(model))]
    assert shapes == [(1, 2), (1, 12, 12, 2), (1, 5)]
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)
    by_name = Interpreter(model_content=converted).get_signature_runner()(pixels=pixels)
    for name, found in zip(NAMES, run(model), strict=True):
        np.testing.assert_array_equal(found, by_name[name])


def test_outputs_of_other_names_are_refused(converted: bytes):
    with pytest.raises(InputError, match="found \\['embedding', 'logits', 'map'\\]"):
        flatbuffer.order_outputs(converted, ["logits"])
