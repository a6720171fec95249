"""Channels leave and the net stays right, whatever its graph; folding changes no output."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st

from dermcompress import graph, rebuild, student, widths
from dermcompress.fold import fold
from dermedge.errors import InputError

pytestmark = pytest.mark.tensorflow

layers = keras.layers
BLOCKS = ("chain", "add", "concat", "depthwise", "squeeze", "pool")
Net = Callable[..., keras.Model]


def stir(model: keras.Model, random: np.random.Generator) -> keras.Model:
    """Random weights everywhere: biases, scales and moving statistics too."""
    for layer in model.layers:
        for weight in layer.weights:
            shape, name = tuple(weight.shape), weight.name
            if "kernel" in name:
                fan_in = np.prod(shape[:-1]) if "depthwise" not in name else np.prod(shape[:2])
                weight.assign(random.normal(0, 1.4 / np.sqrt(fan_in), shape))
            elif "variance" in name or "gamma" in name:
                weight.assign(random.uniform(0.5, 2, shape))
            elif weight.dtype.is_floating:
                weight.assign(random.normal(0, 0.3, shape))
    return model


def noise(model: keras.Model, random: np.random.Generator, count: int = 3) -> np.ndarray:
    return random.normal(0, 1, (count, *model.input_shape[1:])).astype(np.float32)


def block(kind: str, x: Any, width: int) -> Any:
    """One more block of a net: x is what it reads."""
    inside = layers.Conv2D(width, 3, padding="same", activation="relu")
    if kind == "add":
        y = layers.Conv2D(x.shape[-1], 1)(inside(x))
        return layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))
    if kind == "concat":
        return layers.Concatenate()([x, inside(x), x])
    if kind == "depthwise":
        y = layers.DepthwiseConv2D(3, 2, padding="same")(layers.Conv2D(width, 1)(x))
        return layers.ReLU(6.0)(layers.BatchNormalization()(y))
    if kind == "squeeze":
        y = layers.Reshape((1, 1, x.shape[-1]))(layers.GlobalAveragePooling2D()(x))
        y = layers.Conv2D(width, 1, activation="swish")(y)
        return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(y)])
    if kind == "pool":
        return layers.MaxPooling2D()(layers.ZeroPadding2D()(x))
    return layers.Activation("relu")(layers.BatchNormalization()(inside(x)))


def net(kinds: list[str], width: int, flat: bool = False, side: int = 8) -> keras.Model:
    """Blocks one after the other, and a dense layer behind them."""
    pixels = keras.Input((side, side, 3))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(pixels)
    for number, kind in enumerate(kinds):
        x = block(kind, x, width + number)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(2)(layers.Dense(width, activation="relu")(x)))


def drawn(channels: graph.Channels, share: float, random: np.random.Generator) -> set[int]:
    """A share of each space's channels, at least one of which stays."""
    leaving: set[int] = set()
    for space in channels.spaces():
        count = min(len(space.ids) - 1, round(share * len(space.ids)))
        leaving |= set(random.permutation(space.ids)[:count].tolist())
    return leaving


def unread(model: keras.Model, channels: graph.Channels, leaving: set[int]) -> keras.Model:
    """The whole net, but what would read the leaving channels has weights of 0 there."""
    other = rebuild.resized(model, model.input_shape[1])
    for node in channels.nodes:
        gone = np.isin(channels.of[node.sources[0]], list(leaving)) if node.sources else ()
        if np.any(gone) and type(node.layer) in (layers.Conv2D, layers.Dense):
            layer = other.get_layer(node.name)
            kernel, *rest = layer.get_weights()
            kernel[..., gone, :] = 0
            layer.set_weights([kernel, *rest])
    return other


def assert_cut_is_zeroed(model: keras.Model, share: float, random: np.random.Generator) -> None:
    found = graph.channels(model)
    leaving = drawn(found, share, random)
    slim = rebuild.cut(model, found, leaving)
    x = noise(model, random)
    expected = unread(model, found, leaving)(x).numpy()
    assert np.ptp(expected) > 0
    bound = 1e-5 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(slim(x).numpy(), expected, rtol=0, atol=bound)
    spaces = found.spaces()
    left = [len(set(space.ids.tolist()) - leaving) for space in spaces]
    counted = widths.Arithmetic(found, spaces).total(np.array(left))
    assert counted == pytest.approx(student.macs(slim))
    if leaving:
        assert student.parameters(slim) < student.parameters(model)


@given(
    kinds=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3),
    width=st.integers(2, 9),
    flat=st.booleans(),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
)
@settings(max_examples=15)
def test_cutting_channels_out_is_the_same_as_reading_nothing_from_them(
    kinds: list[str], width: int, flat: bool, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    assert_cut_is_zeroed(stir(net(kinds, width, flat), random), share, random)


@pytest.mark.parametrize("kind", BLOCKS)
def test_half_of_the_channels_leave_every_kind_of_block(kind: str) -> None:
    random = np.random.default_rng(7)
    assert_cut_is_zeroed(stir(net([kind, kind], 8, kind == "pool"), random), 0.5, random)


@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "EfficientNetB0"])
def test_a_third_of_the_channels_leave_a_published_architecture(name: str) -> None:
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=3, classifier_activation=None)
    random = np.random.default_rng(0)
    stir(model, random)
    assert_cut_is_zeroed(model, 1 / 3, random)


def test_a_residual_stream_is_one_space_and_its_insides_are_others() -> None:
    model = net(["add", "add"], 8)
    found = graph.channels(model)
    adds = [node.name for node in found.nodes if isinstance(node.layer, layers.Add)]
    (stream,) = [space for space in found.spaces() if adds[0] in space.carriers]
    assert set(adds) < set(stream.carriers)
    assert [len(space.ids) for space in found.spaces()] == [8, 8, 9, 8]


class Turned(layers.Layer):
    """A layer that the kit has never heard of: channels in reverse."""

    def call(self, x: Any) -> Any:
        return x[..., ::-1]


@pytest.mark.parametrize(
    "layer",
    [
        Turned(name="odd"),
        layers.Lambda(lambda x: x[..., ::-1], name="odd"),
        layers.DepthwiseConv2D(1, depth_multiplier=2, name="odd"),
        layers.Conv2D(4, 3, groups=2, name="odd"),
        layers.Conv2DTranspose(4, 3, name="odd"),
        layers.SeparableConv2D(4, 3, name="odd"),
        layers.LayerNormalization(name="odd"),
        layers.Softmax(name="odd"),
        layers.Activation("softmax", name="odd"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_an_unknown_layer_is_gone_around_and_named(layer: keras.layers.Layer) -> None:
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="before")(pixels)
    x = layers.Conv2D(6, 1, name="read")(x)
    x = layers.Conv2D(6, 1, name="after")(layer(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, layers.Dense(2)(x))
    random = np.random.default_rng(0)
    found = graph.channels(stir(model, random))
    assert found.unknown == ("odd",)
    assert [space.name for space in found.spaces()] == ["before", "after"]
    assert_cut_is_zeroed(model, 0.5, random)


def test_spaces_that_one_layer_writes_have_names_and_widths_of_their_own() -> None:
    pixels = keras.Input((8, 8, 3))
    whole = layers.ReLU()(layers.Conv2D(64, 3, padding="same", name="whole")(pixels))
    parts = [layers.Conv2D(n, 3, padding="same", name=f"part{n}")(pixels) for n in (48, 16)]
    x = layers.Add(name="add")([layers.ReLU()(whole), layers.Concatenate(name="both")(parts)])
    model = keras.Model(pixels, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x)))
    found = graph.channels(model)
    assert {space.name: len(space.ids) for space in found.spaces()} == {
        "whole": 48,
        "whole, part 2": 16,
    }
    assert widths.even(found, 0.5) == {"whole": 24, "whole, part 2": 8}


def test_channels_behind_a_softmax_stay_since_each_one_changes_the_others() -> None:
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="softmax", name="shares")(pixels)
    model = keras.Model(pixels, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x)))
    found = graph.channels(model)
    assert found.spaces() == []


def test_a_layer_that_is_used_twice_is_refused_by_name() -> None:
    pixels = keras.Input((8, 8, 3))
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(InputError, match="twice is used 2 times"):
        graph.channels(keras.Model(pixels, twice(twice(pixels))))


def test_a_bare_operation_is_refused_by_name() -> None:
    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, layers.Conv2D(3, 3)(pixels) * 2.0)
    with pytest.raises(InputError, match="is an operation, not a layer"):
        graph.channels(model)


def test_channels_that_are_fixed_and_layers_that_would_be_empty_are_refused() -> None:
    model = net(["chain"], 4)
    found = graph.channels(model)
    with pytest.raises(ValueError, match="1 of the channels can't leave"):
        rebuild.cut(model, found, {int(found.of[model.output_names[0]][0])})
    with pytest.raises(ValueError, match="nothing would be left of"):
        rebuild.cut(model, found, set(found.spaces()[0].ids.tolist()))


def test_a_resized_net_has_the_same_weights_for_other_photographs() -> None:
    random = np.random.default_rng(0)
    model = stir(net(["chain", "squeeze"], 4, side=16), random)
    other = rebuild.resized(model, 8)
    assert other.input_shape == (None, 8, 8, 3)
    for own, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)


def folds(model: keras.Model, random: np.random.Generator) -> keras.Model:
    """The folded net, after its outputs were found to be the same."""
    folded, x = fold(model), noise(model, random)
    found, expected = (keras.Model(m.input, m.outputs)(x) for m in (folded, model))
    for own, other in zip(found, expected, strict=True):
        bound = 1e-5 * max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=0, atol=bound)
    return folded


def kinds_left(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", ["relu", "relu6", "sigmoid", "swish"])
@pytest.mark.parametrize(
    "linear",
    [
        layers.Conv2D(6, 3, use_bias=False),
        layers.Conv2D(6, 3, groups=3),
        layers.DepthwiseConv2D(3),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        layers.Dense(5),
    ],
    ids=["conv", "grouped", "depthwise", "doubling", "dense"],
)
def test_normalisation_and_activation_move_into_what_is_before_them(
    linear: keras.layers.Layer, name: str
) -> None:
    pixels = keras.Input((6, 6, 3))
    x = layers.BatchNormalization()(linear.__class__.from_config(linear.get_config())(pixels))
    x = layers.ReLU(6.0)(x) if name == "relu6" else layers.Activation(name)(x)
    random = np.random.default_rng(0)
    folded = folds(stir(keras.Model(pixels, x), random), random)
    assert kinds_left(folded) == ["InputLayer", type(linear).__name__]
    assert keras.activations.serialize(folded.layers[1].activation) == name


def test_a_normalisation_without_scale_or_centre_folds_too() -> None:
    pixels = keras.Input((6, 6, 3))
    x = layers.BatchNormalization(scale=False, center=False)(layers.Conv2D(4, 3)(pixels))
    random = np.random.default_rng(0)
    folded = folds(stir(keras.Model(pixels, x), random), random)
    assert kinds_left(folded) == ["InputLayer", "Conv2D"]


def test_what_two_layers_read_stays_as_it_is() -> None:
    pixels = keras.Input((6, 6, 4))
    shared = layers.Conv2D(4, 1, name="shared")(pixels)
    normed = layers.BatchNormalization(name="norm")(shared)
    active = layers.ReLU(name="active")(layers.BatchNormalization(name="other")(shared))
    x = layers.Add()([layers.ReLU(name="second")(normed), normed, active])
    random = np.random.default_rng(0)
    folded = folds(stir(keras.Model(pixels, x), random), random)
    left = {layer.name for layer in folded.layers}
    assert {"shared", "norm", "other", "active", "second"} < left


@pytest.mark.parametrize("shown", [0, 1])
def test_what_the_net_gives_out_stays_as_it_is(shown: int) -> None:
    pixels = keras.Input((6, 6, 3))
    conv = layers.Conv2D(4, 1)(pixels)
    normed = layers.BatchNormalization()(conv)
    end = layers.Conv2D(2, 1)(layers.ReLU()(normed))
    random = np.random.default_rng(0)
    folded = folds(stir(keras.Model(pixels, [end, (conv, normed)[shown]]), random), random)
    assert ("BatchNormalization" in kinds_left(folded)) == (shown == 0)
    assert "ReLU" in kinds_left(folded)


@pytest.mark.parametrize(
    "before",
    [layers.Conv2DTranspose(4, 3), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()],
    ids=["transposed", "active", "pooling"],
)
def test_a_normalisation_that_can_not_move_stays(before: keras.layers.Layer) -> None:
    pixels = keras.Input((6, 6, 3))
    model = keras.Model(pixels, layers.BatchNormalization()(before(pixels)))
    random = np.random.default_rng(0)
    assert "BatchNormalization" in kinds_left(folds(stir(model, random), random))


@pytest.mark.parametrize("activation", ["tanh", layers.ReLU(negative_slope=0.1), layers.ReLU(4.0)])
def test_an_activation_that_can_not_move_stays(activation: Any) -> None:
    layer = layers.Activation(activation) if isinstance(activation, str) else activation
    pixels = keras.Input((6, 6, 3))
    model = keras.Model(pixels, layer(layers.BatchNormalization()(layers.Conv2D(4, 3)(pixels))))
    random = np.random.default_rng(0)
    folded = folds(stir(model, random), random)
    assert kinds_left(folded) == ["InputLayer", "Conv2D", type(layer).__name__]


def test_resnet50_folds_into_convolutions_alone(full: keras.Model, pixels: np.ndarray) -> None:
    x = pixels.astype(np.float32)
    folded, expected = fold(full), full(x).numpy()
    np.testing.assert_allclose(folded(x).numpy(), expected, atol=1e-4 * np.ptp(expected))
    kinds = kinds_left(folded)
    assert "BatchNormalization" not in kinds
    assert kinds.count("Activation") == 16  # one behind the add of each block
    assert kinds.count("Conv2D") == 55  # 53, the input's normalisation and the head
