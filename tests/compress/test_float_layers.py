"""Layers that stay float in an int8 file: which, that they do, and that all others are int8."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tf_keras as keras

from dermcompress import convert, flatbuffer, float_layers, peer, student
from dermcompress.fold import fold
from dermcompress.layer_errors import layer_errors
from dermcompress.quantize import quantize_aware
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermedge.contract import Contract, Input
from dermedge.errors import InputError
from dermedge.model import Classifier
from dermtrain import backbone

pytestmark = pytest.mark.tensorflow

FLOAT32, INT8 = flatbuffer.schema.TensorType.FLOAT32, flatbuffer.schema.TensorType.INT8
UINT8 = flatbuffer.schema.TensorType.UINT8


def types(model: bytes, operators: Iterable[Any]) -> list[set[int]]:
    """Of each operator: types of its first two inputs, mostly activation and kernel, and output."""
    tensors = flatbuffer.read(model).subgraphs[0].tensors
    return [{tensors[i].type for i in (*one.inputs[:2], one.outputs[0])} for one in operators]


def in_float(model: bytes) -> set[str]:
    """Layers that are float; each is that or int8 throughout: what it takes, kernel and output."""
    layers = flatbuffer.layers(flatbuffer.read(model))
    found = dict(zip(layers, types(model, layers.values()), strict=True))
    assert all(kinds in ({FLOAT32}, {INT8}) for kinds in found.values()), found
    return {name for name, kinds in found.items() if FLOAT32 in kinds}


def adds(model: bytes) -> list[Any]:
    """The operators that add two activations."""
    read = flatbuffer.read(model)
    names = [flatbuffer.operation_name(code) for code in read.operatorCodes]
    return [each for each in read.subgraphs[0].operators if names[each.opcodeIndex] == "ADD"]


def kernels(model: bytes, names: Sequence[str]) -> list[np.ndarray]:
    """Values of the float kernels of some layers."""
    read = flatbuffer.read(model)
    tensors = read.subgraphs[0].tensors
    kernels = [tensors[flatbuffer.layers(read)[name].inputs[flatbuffer.KERNEL]] for name in names]
    return [read.buffers[kernel.buffer].data.view(np.float32) for kernel in kernels]


def taken(model: bytes) -> tuple:
    """Type, scale and zero point of a file's input."""
    graph = flatbuffer.read(model).subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    return tensor.type, tensor.quantization.scale.tolist(), tensor.quantization.zeroPoint.tolist()


def by_runtime(file: bytes, photographs: np.ndarray, terms: Contract) -> np.ndarray:
    side = photographs.shape[1]
    here = replace(terms, input=Input(side, side), outputs=convert.outputs(whole=True))
    judge = Classifier(file, here)
    return np.stack([judge.scores(photograph[None]) for photograph in photographs])


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ((), set()),
        (("first",), {"normalise", "conv1_conv"}),
        (("last",), {"head"}),
        (("last", "conv4_1_conv"), {"head", "conv4_1_conv"}),
    ],
)
def test_the_ends_and_layers_by_name_are_found(
    keep: Sequence[str], expected: set[str], teacher: Student
) -> None:
    assert float_layers.resolve(teacher.net, keep) == expected


def test_the_first_layer_of_resnet50_and_of_mobilenetv2_brings_all_before_it(
    full: keras.Model,
) -> None:
    assert float_layers.resolve(fold(full), ["first"]) == {"normalise", "conv1_pad", "conv1_conv"}
    small = fold(peer.build(32, 2, seed=0))
    assert float_layers.resolve(small, ["first"]) == {"normalise", "Conv1"}


@pytest.mark.parametrize("name", ["conv3_1_cov", "conv3_block4_out", "First", ""])
def test_an_unknown_layer_is_refused_and_the_nearest_named(name: str, teacher: Student) -> None:
    with pytest.raises(InputError, match=rf"no layer '{name}' .*conv.*; or first, last"):
        float_layers.resolve(teacher.net, [name])


def test_the_nearest_name_comes_first(teacher: Student) -> None:
    with pytest.raises(InputError, match="the nearest: conv4_2_conv, "):
        quantize_aware(teacher, np.zeros((2, 32, 32, 3), np.uint8), ["conv4_2_con"])


@pytest.mark.parametrize(
    "keep",
    [
        ("first",),
        ("last",),
        ("conv3_2_conv",),  # an add reads it
        ("conv4_1_conv", "conv4_2_conv"),  # the one reads the other
    ],
    ids=lambda keep: "+".join(keep),
)
def test_what_is_kept_is_float_in_the_file_and_all_else_int8(
    keep: tuple[str, ...], teacher: Student, toys: Seen, terms: Contract
) -> None:
    aware, kept = (
        quantize_aware(teacher, toys.pixels, keep),
        float_layers.resolve(teacher.net, keep),
    )
    model = convert.to_int8(aware, kept=kept)
    assert in_float(model) == kept
    assert types(model, adds(model)) == [{INT8}] * 3
    assert taken(model) == (UINT8, [1.0], [0])
    found = by_runtime(model, toys.pixels, terms)
    simulated, exact = (
        net(toys.pixels.astype(np.float32))[0] for net in (aware, teacher.watched())
    )
    near, far = (np.abs(found - other.numpy()).mean() for other in (simulated, exact))
    assert near < 0.5 * np.abs(simulated.numpy() - exact.numpy()).mean()
    assert far < 0.1 * exact.numpy().std()
    assert np.mean(found.argmax(1) == simulated.numpy().argmax(1)) > 0.98


def test_a_float_layer_adds_no_noise_where_it_reads_the_pixels_themselves(
    teacher: Student, toys: Seen
) -> None:
    exact = convert.to_float(teacher.watched())
    plain, kept = (
        convert.to_int8(quantize_aware(teacher, toys.pixels, keep), kept=names)
        for keep, names in (((), ()), (("first",), ("normalise", "conv1_conv")))
    )
    before, after = (
        {error.layer: error for error in layer_errors(exact, model, toys.pixels[:8])}
        for model in (plain, kept)
    )
    assert before["conv1_conv"].snr_db < 50
    assert after["conv1_conv"].snr_db > 60
    assert after["conv3_1_conv"].snr_db > before["conv3_1_conv"].snr_db


def test_what_is_kept_has_the_weights_that_it_had(teacher: Student, toys: Seen) -> None:
    """Between int8 layers the converter would quantize it."""
    names = ("conv3_2_conv", "conv4_1_conv")
    model = convert.to_int8(quantize_aware(teacher, toys.pixels, names), kept=names)
    exact = convert.to_float(teacher.watched())
    for own, other in zip(*(kernels(each, names) for each in (model, exact)), strict=True):
        np.testing.assert_array_equal(own, other)
    errors = {error.layer: error for error in layer_errors(exact, model, toys.pixels[:4])}
    assert all(errors[name].added < 1e-9 for name in names)
    assert errors["normalise"].added < 1e-6  # each grey level has a step of its own there
    unharmed = (*names, "normalise")
    assert all(error.added > 1e-6 for name, error in errors.items() if name not in unharmed)


def test_the_first_layer_of_a_net_with_inverted_bottlenecks_can_be_kept(terms: Contract) -> None:
    """As in MobileNetV2: ReLU6, depthwise convolutions, and an add of what is not activated."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    pixels = keras.Input((32, 32, 3), name=backbone.PIXELS)
    scale = keras.initializers.Constant(np.eye(3)[None, None] / 127.5)
    middle = keras.initializers.Constant(-1.0)
    normalise = layers.Conv2D(3, 1, name="normalise")
    normalise.kernel_initializer, normalise.bias_initializer = scale, middle
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False, name="Conv1")(normalise(pixels))
    x = layers.ReLU(6.0, name="Conv1_relu")(layers.BatchNormalization(name="bn_Conv1")(x))
    y = layers.Conv2D(24, 1, name="expand")(x)
    y = layers.ReLU(6.0, name="expand_relu")(layers.BatchNormalization(name="expand_bn")(y))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.ReLU(6.0, name="depthwise_relu")(layers.BatchNormalization(name="dw_bn")(y))
    y = layers.BatchNormalization(name="project_bn")(layers.Conv2D(8, 1, name="project")(y))
    x = layers.Add(name="add")([x, y])
    x = layers.Conv2D(2, 1, name=backbone.HEAD)(x)
    logits = layers.GlobalAveragePooling2D(name=backbone.LOGITS)(x)
    small = student.of(fold(keras.Model(pixels, logits)))
    photographs = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    kept = {"normalise", "Conv1"}
    model = convert.to_int8(quantize_aware(small, photographs, ["first"]), kept=kept)
    assert in_float(model) == kept
    assert taken(model) == (UINT8, [1.0], [0])
    found = by_runtime(model, photographs, terms)
    expected = small.net(photographs.astype(np.float32)).numpy()
    assert np.abs(found - expected).max() < 0.3 * expected.std(0).max() + 0.02
