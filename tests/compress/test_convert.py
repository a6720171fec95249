"""Files by the raw interpreter: what goes in, what comes out, and that it is what Keras gives."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

from dermcompress import convert
from dermcompress.quantize import quantize_aware
from dermcompress.slim import Seen
from dermcompress.student import Student

pytestmark = pytest.mark.tensorflow

NAMES = ["scores", "map", "embedding"]


@dataclass(frozen=True)
class Ran:
    """What an interpreter says of a file, and its outputs for some pictures, in its order."""

    taken: dict[str, Any]
    given: list[dict[str, Any]]
    signature: dict[str, Any]
    outputs: list[np.ndarray]


def run(model: bytes, pixels: np.ndarray) -> Ran:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (taken,), given = interpreter.get_input_details(), interpreter.get_output_details()
    (signature,) = interpreter.get_signature_list().values()
    found: list[list[np.ndarray]] = []
    for picture in pixels:
        interpreter.set_tensor(taken["index"], picture[None].astype(taken["dtype"]))
        interpreter.invoke()
        found.append([interpreter.get_tensor(one["index"])[0].copy() for one in given])
    outputs = [np.array(each) for each in zip(*found, strict=True)]
    return Ran(taken, given, signature, outputs)


def by_signature(model: bytes, picture: np.ndarray) -> dict[str, np.ndarray]:
    runner = Interpreter(model_content=model).get_signature_runner()
    (name,) = runner.get_input_details()
    return runner(**{name: picture[None]})


def expected(net: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    """Scores, map and embedding by Keras."""
    scores, maps, features, *_ = (y.numpy() for y in net(pixels.astype(np.float32)))
    return [scores, maps, features.mean((1, 2))]


def away(found: np.ndarray, other: np.ndarray) -> float:
    """Root mean squared difference in units of the standard deviation."""
    return float(np.sqrt(np.square(found - other).mean()) / other.std())


@pytest.fixture(scope="module")
def net(teacher: Student) -> keras.Model:
    return teacher.watched()


@pytest.fixture(scope="module")
def aware(teacher: Student, toys: Seen) -> keras.Model:
    return quantize_aware(teacher, toys.pixels)


@pytest.fixture(scope="module")
def float_file(net: keras.Model) -> bytes:
    return convert.to_float(net)


@pytest.fixture(scope="module")
def int8_file(aware: keras.Model) -> bytes:
    return convert.to_int8(aware)


@pytest.mark.parametrize("kind", ["float_file", "int8_file"])
def test_outputs_are_scores_map_and_embedding_in_this_order(
    kind: str, request: pytest.FixtureRequest, toys: Seen
) -> None:
    model = request.getfixturevalue(kind)
    found = run(model, toys.pixels[:1])
    assert tuple(found.taken["shape"]) == (1, 32, 32, 3)
    assert [tuple(one["shape"]) for one in found.given] == [(1, 2), (1, 4, 4, 2), (1, 48)]
    assert {one["dtype"] for one in found.given} == {np.float32}
    assert sorted(found.signature["outputs"]) == sorted(NAMES)
    assert [output.name for output in convert.outputs(whole=True)] == NAMES
    named = by_signature(model, toys.pixels[0].astype(found.taken["dtype"]))
    for name, own in zip(NAMES, found.outputs, strict=True):
        np.testing.assert_array_equal(named[name], own)


def test_batch_one_stands_in_the_graph_itself(float_file: bytes) -> None:
    details = Interpreter(model_content=float_file).get_tensor_details()
    assert all(-1 not in one["shape_signature"] for one in details)


@pytest.mark.parametrize(
    ("make", "tolerance", "size"),
    [
        (convert.to_float, 1e-5, 1.0),
        (convert.to_float16, 2e-3, 0.6),
        (convert.to_dynamic, 0.05, 0.5),
    ],
    ids=["float32", "float16", "dynamic"],
)
def test_files_without_int8_activations_give_what_keras_gives(
    make: Callable[..., bytes],
    tolerance: float,
    size: float,
    net: keras.Model,
    float_file: bytes,
    toys: Seen,
) -> None:
    model = make(net)
    assert len(model) <= size * len(float_file)
    found = run(model, toys.pixels[:32])
    assert found.taken["dtype"] is np.float32
    for own, other in zip(found.outputs, expected(net, toys.pixels[:32]), strict=True):
        assert away(own, other) < tolerance


def test_only_the_scores_come_out_if_nothing_else_is_asked_for(
    net: keras.Model, float_file: bytes, toys: Seen
) -> None:
    only = run(convert.to_float(net, whole=False), toys.pixels[:4])
    assert only.signature["outputs"] == ["scores"]
    assert [tuple(one["shape"]) for one in only.given] == [(1, 2)]
    whole = run(float_file, toys.pixels[:4]).outputs[0]
    np.testing.assert_allclose(only.outputs[0], whole, atol=1e-4)
    assert [output.name for output in convert.outputs(whole=False)] == ["scores"]


def test_int8_takes_pixels_as_they_are(int8_file: bytes, float_file: bytes, toys: Seen) -> None:
    taken = run(int8_file, toys.pixels[:1]).taken
    assert taken["dtype"] is np.uint8
    assert taken["quantization"] == (1.0, 0)
    assert len(int8_file) < 0.6 * len(float_file)  # of so small a net, mostly names


def test_int8_strays_less_from_its_simulation_than_that_from_float(
    aware: keras.Model, net: keras.Model, int8_file: bytes, toys: Seen
) -> None:
    simulated, exact = expected(aware, toys.pixels), expected(net, toys.pixels)
    found = run(int8_file, toys.pixels).outputs
    for own, near, far in zip(found, simulated, exact, strict=True):
        assert away(own, near) < 0.5 * away(near, far)
    assert np.mean(found[0].argmax(1) == simulated[0].argmax(1)) > 0.98


@pytest.mark.parametrize("kind", ["float_file", "int8_file"])
def test_scores_are_the_mean_of_the_map(
    kind: str, request: pytest.FixtureRequest, toys: Seen
) -> None:
    scores, maps, _ = run(request.getfixturevalue(kind), toys.pixels[:32]).outputs
    np.testing.assert_allclose(scores, maps.mean((1, 2)), rtol=1e-4, atol=1e-4)


def test_int8_scores_do_not_collapse_to_256_steps(int8_file: bytes, toys: Seen) -> None:
    scores, maps, _ = run(int8_file, toys.pixels).outputs
    values = np.unique(maps)
    assert len(values) <= 256  # the map itself comes in steps of int8
    step = np.diff(values).min()
    collapsed = np.unique(np.rint(scores[:, 1] / step))
    assert len(np.unique(scores[:, 1])) > 1.2 * len(collapsed)


def test_every_kernel_of_an_int8_file_is_int8(int8_file: bytes) -> None:
    details = Interpreter(model_content=int8_file).get_tensor_details()
    large = [one for one in details if len(one["shape"]) == 4 and one["shape"][0] > 1]
    assert len(large) >= 8
    assert {one["dtype"] for one in large} == {np.int8}


def test_the_same_net_gives_the_same_bytes(
    teacher: Student, toys: Seen, float_file: bytes, int8_file: bytes
) -> None:
    def digest(model: bytes) -> str:
        return hashlib.sha256(model).hexdigest()

    again = quantize_aware(teacher, toys.pixels)
    assert digest(convert.to_float(teacher.watched())) == digest(float_file)
    assert digest(convert.to_int8(again)) == digest(int8_file)
