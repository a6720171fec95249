"""The second opinion on int8: what its file takes and gives, and that it agrees with the first."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import tf_keras as keras

from dermcompress import convert, edge_quantizer, flatbuffer, opset, student
from dermcompress.fold import fold
from dermcompress.layer_errors import layer_errors
from dermcompress.quantize import quantize_aware
from dermcompress.ranges import pixel_ranges
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermedge.contract import Contract, Input
from dermedge.errors import MissingError
from dermedge.model import Classifier, Outputs, runtimes

pytest.importorskip("ai_edge_quantizer")
pytestmark = pytest.mark.tensorflow

SIDE = 32


def run(model: bytes, pixels: np.ndarray, terms: Contract) -> list[Outputs]:
    here = replace(terms, input=Input(SIDE, SIDE), outputs=convert.outputs(whole=True))
    judge = Classifier(model, here)
    return [judge.run(picture[None]) for picture in pixels]


def scores(found: list[Outputs]) -> np.ndarray:
    return np.stack([each.scores for each in found])


@pytest.fixture(scope="module")
def float_file(teacher: Student) -> bytes:
    return convert.to_float(teacher.watched())


@pytest.fixture(scope="module")
def edge_file(float_file: bytes, toys: Seen) -> bytes:
    return edge_quantizer.to_int8(float_file, toys.pixels)


def test_it_takes_pixels_as_they_are_and_gives_what_the_float_file_gives(
    edge_file: bytes, float_file: bytes, toys: Seen, terms: Contract
) -> None:
    model = flatbuffer.read(edge_file)
    graph = model.subgraphs[0]
    pixels = graph.tensors[graph.inputs[0]]
    assert pixels.type == flatbuffer.schema.TensorType.UINT8
    assert (pixels.quantization.scale.item(), pixels.quantization.zeroPoint.item()) == (1, 0)
    assert [one.shape for one in flatbuffer.outputs(model)] == [(1, 2), (1, 4, 4, 2), (1, 48)]
    exact, found = (run(each, toys.pixels, terms) for each in (float_file, edge_file))
    spread = scores(exact).std()
    assert 0 < np.abs(scores(found) - scores(exact)).mean() < 0.15 * spread
    for own, other in zip(found, exact, strict=True):
        assert own.map is not None
        assert own.embedding is not None
        assert other.embedding is not None
        np.testing.assert_allclose(own.map.mean((0, 1)), own.scores, rtol=1e-4, atol=1e-4)
        assert np.abs(own.embedding - other.embedding).mean() < 0.1 * other.embedding.std()


def test_a_range_that_is_known_is_taken_as_it_is(
    teacher: Student, float_file: bytes, toys: Seen
) -> None:
    known = pixel_ranges(teacher.net)
    made = flatbuffer.read(edge_quantizer.to_int8(float_file, toys.pixels, known))
    operator = flatbuffer.layers(made)["normalise"]
    ((low, high),) = known.values()
    scale = made.subgraphs[0].tensors[operator.outputs[0]].quantization.scale.item()
    assert scale == pytest.approx((high - low) / 255, rel=1e-5)


def test_every_kernel_is_int8_by_channel(edge_file: bytes) -> None:
    model = flatbuffer.read(edge_file)
    graph, kernels = model.subgraphs[0], []
    for each in graph.operators:
        name = flatbuffer.operation_name(model.operatorCodes[each.opcodeIndex])
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kernels.append(graph.tensors[each.inputs[1]])
    assert len(kernels) == 10
    assert {kernel.type for kernel in kernels} == {flatbuffer.schema.TensorType.INT8}
    scales = [len(kernel.quantization.scale) for kernel in kernels]
    assert sorted(scales) == sorted([3, 24, 40, 24, 24, 40, 40, 48, 48, 2])


def test_a_large_file_brings_its_weights_along(
    full: keras.Model, pixels: np.ndarray, terms: Contract
) -> None:
    net = student.of(fold(full))
    exact = convert.to_float(net.watched())
    model = edge_quantizer.to_int8(exact, pixels)
    assert 0.25 < len(model) / len(exact) < 0.27
    assert not any(buffer.offset for buffer in flatbuffer.read(model).buffers)
    found = layer_errors(exact, flatbuffer.write(flatbuffer.read(model)), pixels[:2])
    assert len(found) > 50
    assert all(error.added < 0.05 for error in found)  # lost weights would be all noise


def test_scores_do_not_collapse_to_256_steps(edge_file: bytes, toys: Seen, terms: Contract) -> None:
    found = run(edge_file, toys.pixels, terms)
    maps = np.unique(np.stack([each.map for each in found if each.map is not None]))
    assert len(maps) <= 256
    step = np.diff(maps).min()
    own = scores(found)[:, 1]
    assert len(np.unique(own)) > 1.2 * len(np.unique(np.rint(own / step)))


def test_both_quantizers_decide_alike(
    edge_file: bytes, teacher: Student, toys: Seen, terms: Contract
) -> None:
    first = scores(run(convert.to_int8(quantize_aware(teacher, toys.pixels)), toys.pixels, terms))
    second = scores(run(edge_file, toys.pixels, terms))
    assert np.abs(first - second).mean() < 0.1 * first.std()
    assert np.mean(first.argmax(1) == second.argmax(1)) > 0.97


def test_the_same_inputs_give_the_same_bytes(
    edge_file: bytes, float_file: bytes, toys: Seen
) -> None:
    again = edge_quantizer.to_int8(float_file, toys.pixels)
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(edge_file).hexdigest()


def test_scores_alone_are_given_where_nothing_else_is_asked_for(
    teacher: Student, toys: Seen, edge_file: bytes, terms: Contract
) -> None:
    alone = convert.to_float(teacher.watched(), whole=False)
    model = edge_quantizer.to_int8(alone, toys.pixels)
    assert [one.shape for one in flatbuffer.outputs(flatbuffer.read(model))] == [(1, 2)]
    here = replace(terms, input=Input(SIDE, SIDE), outputs=convert.outputs(whole=False))
    judge = Classifier(model, here)
    own = np.stack([judge.scores(picture[None]) for picture in toys.pixels[:8]])
    np.testing.assert_allclose(own, scores(run(edge_file, toys.pixels[:8], terms)), atol=0.3)


def test_its_layers_keep_their_names_and_its_operations_run_everywhere(
    edge_file: bytes, float_file: bytes, toys: Seen
) -> None:
    errors = layer_errors(float_file, edge_file, toys.pixels[:4])
    assert len(errors) == 10
    assert all(error.snr_db > 10 for error in errors)
    assert not any(opset.missing(edge_file).values())


@pytest.mark.parametrize("runtime", runtimes())
def test_every_installed_runtime_runs_it(
    edge_file: bytes, toys: Seen, terms: Contract, runtime: str
) -> None:
    here = replace(terms, input=Input(SIDE, SIDE), outputs=convert.outputs(whole=True))
    found = Classifier(edge_file, here, runtime=runtime).scores(toys.pixels[:1])
    expected = run(edge_file, toys.pixels[:1], terms)[0].scores
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_without_the_package_the_line_that_brings_it_is_named(
    float_file: bytes, toys: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_quantizer, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'dermkit\[second-opinion\]'"):
        edge_quantizer.to_int8(float_file, toys.pixels)
