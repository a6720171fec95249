"""Quantization-aware nets: what is quantized, from which ranges, and how little it disturbs."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

from dermcompress import convert, peer, student
from dermcompress.fold import fold
from dermcompress.quantize import quantize_aware, unknown
from dermcompress.ranges import pixel_ranges
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermedge.errors import InputError

pytestmark = pytest.mark.tensorflow

layers = keras.layers


@pytest.fixture(scope="module")
def aware(teacher: Student, toys: Seen) -> keras.Model:
    return quantize_aware(teacher, toys.pixels)


def variable(layer: keras.layers.Layer, ending: str) -> np.ndarray:
    return next(w.numpy() for w in layer.weights if w.name.endswith(f"{ending}:0"))


def linear(model: keras.Model) -> list[keras.layers.Layer]:
    return [x for x in model.layers if any("kernel:" in w.name for w in x.weights)]


def test_every_convolution_of_resnet50_is_quantized(full: keras.Model, pixels: np.ndarray) -> None:
    found = linear(quantize_aware(student.of(fold(full)), pixels))
    assert len(found) == 55  # 53, the input's normalisation and the head
    for layer in found:
        low, high = variable(layer, "kernel_min"), variable(layer, "kernel_max")
        kernel = np.abs(variable(layer, "kernel")).max(axis=(0, 1, 2))
        # Symmetric by output channel, and taken from the weights as they are.
        np.testing.assert_allclose(np.maximum(high, -low), kernel, rtol=1e-5)


def test_depthwise_ones_are_quantized_too(aware: keras.Model) -> None:
    layer = aware.get_layer("quant_conv4_1_conv")
    low, high = variable(layer, "depthwise_kernel_min"), variable(layer, "depthwise_kernel_max")
    kernel = np.abs(variable(layer, "depthwise_kernel")).max()
    assert np.maximum(high, -low).max() == pytest.approx(kernel, rel=1e-5)


def test_the_averages_stay_in_float(aware: keras.Model) -> None:
    wrapper = tfmot.quantization.keras.QuantizeWrapper
    plain = {x.name for x in aware.layers if not isinstance(x, wrapper | keras.layers.InputLayer)}
    assert "logits" in plain
    assert all(name == "logits" or "quantize" in name for name in plain)


def test_ranges_are_what_the_photographs_show(
    aware: keras.Model, teacher: Student, toys: Seen
) -> None:
    for name in ("conv3_block4_out", "conv5_block3_out"):
        layer = aware.get_layer(f"quant_{name}")
        (high,) = (w.numpy() for w in layer.weights if w.name.endswith("_max:0"))
        (low,) = (w.numpy() for w in layer.weights if w.name.endswith("_min:0"))
        probe = keras.Model(teacher.net.input, teacher.net.get_layer(name).output)
        maps = probe(toys.pixels.astype(np.float32)).numpy()
        # The one pass that sets the weights' ranges moves it by a thousandth of the way to its own
        # batch's.
        assert high == pytest.approx(np.percentile(maps.max(axis=(1, 2, 3)), 95), rel=5e-3)
        assert low == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("kind", ["resnet50", "mobilenetv2"])
def test_the_range_of_scaled_pixels_is_that_of_any_picture(full: keras.Model, kind: str) -> None:
    net = fold(full if kind == "resnet50" else peer.build(32, 2, seed=0))
    (name, (low, high)), *others = pixel_ranges(net).items()
    assert (name, others) == ("normalise", [])
    side = net.input_shape[1]
    corners = np.array(list(product((0, 255), repeat=3)), np.float32)
    pictures = np.broadcast_to(corners[:, None, None], (8, side, side, 3))
    scaled = keras.Model(net.input, net.get_layer(name).output)(pictures).numpy()
    assert (low, high) == pytest.approx((scaled.min(), scaled.max()), rel=1e-6)


def test_pictures_darker_and_brighter_than_any_that_were_seen_are_not_cut_off(
    teacher: Student, toys: Seen
) -> None:
    grey = (100 + toys.pixels // 8).astype(np.uint8)
    layer = quantize_aware(teacher, grey).get_layer("quant_normalise")
    ends = (float(variable(layer, f"post_activation_{end}")) for end in ("min", "max"))
    assert tuple(ends) == pytest.approx(pixel_ranges(teacher.net)["normalise"], rel=5e-3)


def test_a_net_that_does_not_scale_pixels_first_has_no_such_range() -> None:
    pixels = keras.Input((8, 8, 3), name="pixels")
    sight = keras.layers.Conv2D(4, 3)(pixels)
    assert pixel_ranges(keras.Model(pixels, keras.layers.Conv2D(2, 1)(sight))) == {}


def test_pixels_come_in_steps_of_one_grey_level(aware: keras.Model) -> None:
    layer = next(x for x in aware.layers if "quantize_layer" in x.name)
    values = {w.name.rsplit("_", 1)[-1]: float(w.numpy()) for w in layer.weights if "_m" in w.name}
    assert values == {"min:0": 0.0, "max:0": 255.0}


def test_quantizing_disturbs_little_and_leaves_the_student_alone(
    aware: keras.Model, teacher: Student, toys: Seen
) -> None:
    before = teacher.net.get_weights()
    again = quantize_aware(teacher, toys.pixels)
    for own, expected in zip(teacher.net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, expected)
    x = toys.pixels.astype(np.float32)
    found, same, plain = (net(x) for net in (aware, again, teacher.watched()))
    assert len(found) == len(plain)
    for own, second, expected in zip(found, same, plain, strict=True):
        np.testing.assert_array_equal(own.numpy(), second.numpy())
        strays = np.square(own.numpy() - expected.numpy()).mean() / np.var(expected.numpy())
        assert 0 < strays < 0.05


def around(odd: keras.layers.Layer) -> Student:
    """A small net with a layer in its middle."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Conv2D(8, 3, activation="relu", name="below")(layers.Rescaling(1 / 255)(pixels))
    x = layers.Conv2D(8, 1, activation="relu", name="above")(odd(x))
    head = layers.Conv2D(2, 1, name="head")(x)
    return student.of(keras.Model(pixels, layers.GlobalAveragePooling2D(name="logits")(head)))


@pytest.mark.parametrize(
    "odd",
    [
        layers.PReLU(shared_axes=[1, 2], name="odd"),
        layers.LayerNormalization(name="odd"),
        layers.Normalization(mean=[0.1] * 8, variance=[0.01] * 8, name="odd"),
        layers.Conv2DTranspose(8, 3, name="odd"),
        layers.Conv2D(8, 1, activation="elu", name="odd"),
        layers.Activation("hard_sigmoid", name="odd"),
        layers.Activation(tf.nn.relu6, name="odd"),
    ],
    ids=lambda layer: f"{type(layer).__name__} {getattr(layer, 'activation', '')}".split(" at")[0],
)
def test_what_tfmot_has_no_int8_for_stays_in_float_and_the_rest_goes_around_it(
    odd: keras.layers.Layer,
) -> None:
    pupil = around(odd)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3)).astype(np.uint8)
    assert "odd" in unknown(pupil.net)
    assert not {"below", "above", "head"} & unknown(pupil.net)
    aware = quantize_aware(pupil, pixels)
    assert {"quant_below", "quant_above", "quant_head"} <= {x.name for x in linear(aware)}
    found = scores(convert.to_int8(aware, kept=unknown(pupil.net)), pixels)
    exact = pupil.net(pixels.astype(np.float32)).numpy()
    assert np.abs(found - exact).max() < 0.05 * np.ptp(exact)


def scores(model: bytes, pixels: np.ndarray) -> np.ndarray:
    """What the bare interpreter says of photographs."""
    net = Interpreter(model_content=model)
    net.allocate_tensors()
    found = []
    for photograph in pixels:
        net.set_tensor(net.get_input_details()[0]["index"], photograph[None])
        net.invoke()
        found.append(net.get_tensor(net.get_output_details()[0]["index"])[0])
    return np.array(found)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softmax", "gelu", "swish", tf.nn.relu6])
def test_what_goes_into_an_activation_is_not_cut_off_to_what_comes_out_of_it(
    activation: object,
) -> None:
    pupil = around(layers.Conv2D(8, 1, activation=activation, name="odd"))
    wide = pupil.net.get_layer("odd")
    wide.set_weights([wide.get_weights()[0] * 6, np.linspace(-2, 2, 8)])
    pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3)).astype(np.uint8)
    exact = pupil.net(pixels.astype(np.float32)).numpy()
    assert "odd" not in unknown(pupil.net)
    aware = quantize_aware(pupil, pixels)
    found = aware(pixels.astype(np.float32))[0].numpy()
    small = scores(convert.to_int8(aware, kept=unknown(pupil.net)), pixels)
    for each in (found, small):
        assert np.abs(each - exact).max() < 0.02 * np.ptp(exact)


def test_a_layer_that_can_not_be_made_anew_is_named() -> None:
    pixels = np.zeros((16, 16, 16, 3), np.uint8)
    with pytest.raises(InputError, match=r"net with odd: .*float16"):
        quantize_aware(around(layers.Lambda(lambda x: 2 * x, name="odd")), pixels)


def test_biases_make_up_for_what_rounded_weights_add_on_average(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Inputs far from 0: what rounding adds up to is a shift of the whole channel."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3), name="pixels")
    x = layers.Conv2D(64, 1, activation="relu", bias_initializer="ones", name="far")(pixels)
    x = layers.DepthwiseConv2D(3, padding="valid", name="each")(x)
    head = layers.Conv2D(4, 3, name="head")(x)
    net = keras.Model(pixels, layers.GlobalAveragePooling2D(name="logits")(head))
    seen = np.random.default_rng(0).integers(100, 256, (64, 12, 12, 3)).astype(np.uint8)
    exact = net(seen.astype(np.float32)).numpy()

    def shift() -> np.ndarray:
        aware = quantize_aware(student.of(net), seen)
        return np.abs((aware(seen.astype(np.float32))[0].numpy() - exact).mean(0)) / exact.std(0)

    corrected = shift()
    monkeypatch.setattr("dermcompress.quantize._correct", lambda *_: None)
    assert corrected.mean() < 0.25 * shift().mean()
