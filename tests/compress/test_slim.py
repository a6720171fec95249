"""Importance, widths, reconstruction and slimming, against numpy, scikit-learn and Keras."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import Ridge

from dermcompress import graph, importance, rebuild, recipe, student, widths
from dermcompress.least_squares import solve
from dermcompress.reconstruct import reconstruct
from dermcompress.slim import Aim, Seen, Slimmed, slim
from dermcompress.student import Student
from dermedge.errors import InputError

pytestmark = pytest.mark.tensorflow

layers = keras.layers


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """Pure noise: no pixel tells anything about its neighbour."""
    return np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3)).astype(np.uint8)


def run(net: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return net(pixels.astype(np.float32)).numpy()


def away(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean squared difference in units of the variance over photographs."""
    return float(np.square(found - expected).mean() / expected.var(axis=0).mean())


def plain(*middle: Any, stem: keras.layers.Layer | None = None) -> keras.Model:
    """Layers one after the other on noise that is scaled to about -1 to 1."""
    pixels = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(pixels)
    for layer in ([stem] if stem else []) + list(middle):
        x = layer(x)
    return keras.Model(pixels, x)


def cut(net: keras.Model, space: str, gone: list[int]) -> tuple[keras.Model, dict]:
    """The net without these channels of a space, and what stays of each layer."""
    found = graph.channels(net)
    (ids,) = [s.ids for s in found.spaces() if s.name == space]
    leaving = set(ids[gone].tolist())
    return rebuild.cut(net, found, leaving), found.masks(leaving)


# Least squares


def test_solving_is_ridge_regression_on_the_change() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(100, 6)), random.normal(size=(100, 3))
    start = random.normal(size=(6, 3))
    moments = x.T @ x / 100
    ridge = Ridge(alpha=100 * 1e-3 * np.trace(moments) / 6, fit_intercept=False)
    expected = start + ridge.fit(x, y - x @ start).coef_.T
    np.testing.assert_allclose(solve(moments, x.T @ y / 100, start), expected, atol=1e-10)


# Reconstruction


def test_a_reconstructed_layer_is_the_ridge_regression_of_what_it_should_give(
    noisy: np.ndarray,
) -> None:
    keras.utils.set_random_seed(0)
    conv = layers.Conv2D(8, 3, activation="relu", name="conv")
    net = plain(conv, layers.GlobalAveragePooling2D(name="pooled"), layers.Dense(4, name="dense"))
    small, stays = cut(net, "conv", [1, 4, 5])
    start = np.concatenate([w.reshape(-1, 4) for w in small.get_layer("dense").get_weights()])
    reconstruct(net, small, stays, noisy, seed=0)
    x = run(keras.Model(small.input, small.get_layer("pooled").output), noisy)
    x = np.append(x.astype(np.float64), np.ones((len(x), 1)), axis=1)
    alpha = 1e-3 * np.square(x).sum() / x.shape[1]
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(x, run(net, noisy) - x @ start)
    kernel, bias = small.get_layer("dense").get_weights()
    # Maps are float16 on the way.
    np.testing.assert_allclose([*kernel, bias], start + ridge.coef_.T, atol=2e-3)


@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "dilation"),
    [
        (1, 1, "same", 1),
        (1, 2, "same", 1),
        (3, 1, "valid", 1),
        (3, 1, "same", 1),
        (3, 2, "same", 1),
        (3, 2, "valid", 1),
        ((2, 3), (1, 2), "same", 1),
        (4, 3, "same", 1),
        (3, 1, "same", 2),
        (2, 1, "valid", (1, 3)),
    ],
)
def test_a_spoilt_kernel_is_found_again_from_what_tensorflow_gives(
    noisy: np.ndarray, kernel: Any, strides: Any, padding: str, dilation: Any
) -> None:
    keras.utils.set_random_seed(0)
    stem = layers.Conv2D(4, 1, kernel_initializer="orthogonal", name="stem")
    conv = layers.Conv2D(5, kernel, strides, padding, dilation_rate=dilation, name="conv")
    net = plain(conv, stem=stem)
    values, bias = conv.get_weights()
    values[:, :, 3] = 0  # the last channel is read by nobody, and leaves
    conv.set_weights([values, bias + 0.1])
    small, stays = cut(net, "stem", [3])
    spoilt = small.get_layer("conv")
    random = np.random.default_rng(0)
    spoilt.set_weights([w + random.normal(0, 0.2, w.shape) for w in spoilt.get_weights()])
    reconstruct(net, small, stays, noisy, seed=0)
    found, found_bias = spoilt.get_weights()
    np.testing.assert_allclose(found, values[:, :, :3], atol=5e-3)
    np.testing.assert_allclose(found_bias, bias + 0.1, atol=5e-3)


def doubled(*names: str, net: keras.Model) -> None:
    """Make the second half of what these layers write a copy of the first."""
    for name in names:
        layer = net.get_layer(name)
        halves = [w[..., : w.shape[-1] // 2] for w in layer.get_weights()]
        layer.set_weights([np.concatenate([w, w], axis=-1) for w in halves])


@pytest.mark.parametrize("kind", ["chain", "stream"])
def test_doubled_channels_can_leave_and_nothing_is_lost(noisy: np.ndarray, kind: str) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(pixels)
    stream = layers.Conv2D(16, 3, activation="relu", padding="same", name="a")(x)
    x = layers.Conv2D(8, 3, activation="relu", padding="same", name="b")(stream)
    x = layers.Conv2D(16, 1, name="c")(x)
    if kind == "stream":
        x = layers.ReLU()(layers.Add()([stream, x]))
    scores = layers.Conv2D(2, 3, name="d")(x)
    net = keras.Model(pixels, layers.GlobalAveragePooling2D()(scores))
    doubled("a", "c", net=net)
    small, stays = cut(net, "a", list(range(8, 16)))
    if kind == "chain":
        assert "c" not in [name for name, mask in stays.items() if not mask.all()]
    expected, before = run(net, noisy), run(small, noisy)
    reconstruct(net, small, stays, noisy, seed=0)
    assert away(before, expected) > 0.05
    assert away(run(small, noisy), expected) < 1e-3


def test_the_last_summand_of_an_add_mends_what_the_others_lack(noisy: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(pixels)
    x = layers.Conv2D(6, 1, activation="relu", name="stem")(x)
    first = layers.DepthwiseConv2D(1, name="first")(x)  # is not solved
    last = layers.Conv2D(6, 1, name="last")
    total = layers.Add(name="total")([first, last(x)])
    net = keras.Model(pixels, layers.Conv2D(2, 1)(total))
    kernel, bias = last.get_weights()
    kernel[:, :, 2] = 0
    last.set_weights([kernel, bias])
    small, stays = cut(net, "stem", [2])
    kernel, bias = small.get_layer("first").get_weights()
    small.get_layer("first").set_weights([kernel * 2, bias + 1])
    reconstruct(net, small, stays, noisy, seed=0)
    sums = [run(keras.Model(n.input, n.get_layer("total").output), noisy) for n in (small, net)]
    assert away(sums[0], sums[1][..., stays["total"]]) < 1e-3


def test_what_reads_only_whole_inputs_is_left_alone(noisy: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    net = plain(layers.Conv2D(6, 3, name="a"), layers.Conv2D(5, 3, name="b"))
    small, stays = cut(net, "a", [0])
    before = small.get_layer("a").get_weights()
    reconstruct(net, small, stays, noisy, seed=0)
    for own, expected in zip(small.get_layer("a").get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, expected)


# Importance


@pytest.fixture
def dead() -> tuple[keras.Model, graph.Channels]:
    """A net whose second stem channel nobody uses."""
    keras.utils.set_random_seed(0)
    stem = layers.Conv2D(6, 3, activation="relu", name="stem")
    net = plain(
        *(layers.Conv2D(4, 3, activation="relu", name="reader"), layers.GlobalAveragePooling2D()),
        layers.Dense(2),
        stem=stem,
    )
    kernel, bias = net.get_layer("reader").get_weights()
    kernel[:, :, 1] = 0
    net.get_layer("reader").set_weights([kernel, bias + 0.1])
    return net, graph.channels(net)


def test_a_channel_that_nobody_uses_is_worth_nothing_and_leaves_first(
    dead: tuple[keras.Model, graph.Channels], noisy: np.ndarray
) -> None:
    net, channels = dead
    scores = importance.taylor(net, channels, noisy, np.arange(len(noisy)) % 2)
    space = channels.spaces()[0]
    assert scores[space.ids[1]] == 0
    assert np.count_nonzero(scores[space.ids]) == 5
    assert widths.ranked(space, scores)[0] == space.ids[1]


def test_taylor_is_the_squared_product_of_activation_and_gradient(noisy: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    pooled = layers.GlobalAveragePooling2D(name="pooled")
    net = plain(layers.Conv2D(5, 3, activation="relu", name="conv"), pooled, layers.Dense(3))
    channels, labels = graph.channels(net), np.arange(len(noisy)) % 3
    activation = run(keras.Model(net.input, pooled.output), noisy)
    # The gradient of the cross-entropy by the logits is p - y; a dense layer hands it down.
    by_logits = softmax(run(net, noisy), axis=1) - np.eye(3)[labels]
    gradient = by_logits @ net.layers[-1].get_weights()[0].T
    found = importance.taylor(net, channels, noisy, labels)[channels.of["conv"]]
    expected = np.square(activation * gradient).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_l1_sums_the_absolute_weights_of_all_layers_that_write_a_channel() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3))
    one, two = layers.Conv2D(4, 3, name="one"), layers.Conv2D(4, 3, name="two")
    net = keras.Model(pixels, layers.Conv2D(2, 1)(layers.Add()([one(pixels), two(pixels)])))
    channels = graph.channels(net)
    two.set_weights([10 * two.get_weights()[0], np.zeros(4)])  # no louder than the other
    each = [np.abs(x.get_weights()[0]).sum((0, 1, 2)) for x in (one, two)]
    expected = sum(sums / sums.mean() for sums in each)
    np.testing.assert_allclose(importance.l1(channels)[channels.of["one"]], expected, rtol=1e-5)


def test_scales_are_those_of_the_normalisation_behind_each_convolution() -> None:
    pixels = keras.Input((12, 12, 3))
    norm = layers.BatchNormalization()
    net = keras.Model(pixels, norm(layers.Conv2D(4, 3, name="conv")(pixels)))
    norm.gamma.assign([1.0, -2.0, 0.0, 0.5])
    found = importance.scales(net)
    assert list(found) == ["conv"]
    np.testing.assert_array_equal(found["conv"], [1, 2, 0, 0.5])


def test_chance_is_the_same_for_the_same_seed_only(dead: tuple[Any, graph.Channels]) -> None:
    _, channels = dead
    np.testing.assert_array_equal(importance.chance(channels, 1), importance.chance(channels, 1))
    assert (importance.chance(channels, 1) != importance.chance(channels, 2)).all()


# Widths


def branches(*width: int) -> graph.Channels:
    """Like branches that are joined again."""
    pixels = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, padding="same", name="stem")(pixels)
    parts = [layers.Conv2D(w, 3, padding="same", name=f"b{i}")(x) for i, w in enumerate(width)]
    x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    return graph.channels(keras.Model(pixels, layers.Conv2D(2, 1)(x)))


@given(
    width=st.lists(st.integers(1, 80), min_size=1, max_size=3),
    work=st.floats(0.3, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_chosen_widths_keep_to_multiples_of_eight_and_to_the_share(
    width: list[int], work: float, seed: int
) -> None:
    channels, random = branches(*width), np.random.default_rng(seed)
    spaces = channels.spaces()
    damages = [
        widths.Damage(s, (*widths.KEPT, 1.0), (*sorted(random.random(4))[::-1], 0.0))
        for s in spaces
    ]
    arithmetic = widths.Arithmetic(channels, spaces)
    whole = arithmetic.total(np.array([len(s.ids) for s in spaces]))
    try:
        chosen = widths.choose(channels, damages, work)
    except InputError:
        least = [min(len(s.ids), max(8, -(-len(s.ids) // 64) * 8)) for s in spaces]
        assert arithmetic.total(np.array(least)) > work * whole
        return
    for space in spaces:
        assert chosen[space.name] % 8 == 0 or chosen[space.name] == len(space.ids)
        assert chosen[space.name] >= min(len(space.ids), max(8, len(space.ids) / 8))
    total = arithmetic.total(np.array([chosen[s.name] for s in spaces]))
    assert total <= work * whole
    # One step back, whichever was the last, and it would be too much.
    more = [{**chosen, s.name: min(len(s.ids), chosen[s.name] + 8)} for s in spaces]
    steps = [arithmetic.total(np.array([m[s.name] for s in spaces])) for m in more]
    assert max(steps) > work * whole or work == 1


def test_the_space_that_is_missed_least_gives_most() -> None:
    channels = branches(64, 64)
    loss = {"stem": 100.0, "b0": 10.0, "b1": 0.1}
    damages = [widths.Damage(s, (0.0, 1.0), (loss[s.name], 0.0)) for s in channels.spaces()]
    chosen = widths.choose(channels, damages, 0.6)
    assert chosen["stem"] == 16
    assert chosen["b0"] == 64
    assert chosen["b1"] < 32


def test_a_share_that_would_leave_layers_empty_is_refused_with_the_nearest() -> None:
    channels = branches(64)
    damages = [widths.Damage(s, (0.0, 1.0), (1.0, 0.0)) for s in channels.spaces()]
    with pytest.raises(InputError, match=r"share of 1% .* everywhere \d+% is left; raise `work`"):
        widths.choose(channels, damages, 0.01)


def test_a_scan_measures_what_cutting_does_and_leaves_the_net_as_it_was(
    teacher: Student, toys: Seen
) -> None:
    channels = graph.channels(teacher.net)
    scores, pixels = importance.l1(channels), toys.pixels[:16]
    before = teacher.net.get_weights()
    damages = widths.scan(teacher.net, channels, scores, pixels)
    for own, expected in zip(teacher.net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, expected)
    assert [d.space.name for d in damages] == [s.name for s in channels.spaces()]
    full = run(teacher.net, pixels)
    for damage in damages:
        assert damage.loss[-1] == 0
        assert list(damage.loss) == sorted(damage.loss, reverse=True)
        ranked = widths.ranked(damage.space, scores)
        if len(ranked) < 8:
            continue  # of the three colours an eighth is none, and no net can be cut so
        gone = len(ranked) - round(damage.kept[0] * len(ranked))
        small = rebuild.cut(teacher.net, channels, set(ranked[:gone].tolist()))
        least = away(run(small, pixels), full)
        # A smaller share is never said to do less damage than a greater one.
        assert damage.loss[0] == pytest.approx(least, rel=1e-3) or damage.loss[0] > least


def test_even_widths_are_one_share_of_all_and_the_greatest_that_fits() -> None:
    channels = branches(160, 80, 4)
    found = widths.even(channels, 0.3)
    assert found["b2"] == 4
    assert abs(found["b0"] / 160 - found["b1"] / 80) < 8 / 80
    sizes = np.array([found[space.name] for space in channels.spaces()])
    whole = np.array([16, 160, 80, 4])
    arithmetic = widths.Arithmetic(channels, channels.spaces())
    most = 0.3 * arithmetic.total(whole)
    assert arithmetic.total(sizes) <= most < arithmetic.total(np.minimum(sizes + 8, whole))
    with pytest.raises(InputError, match="raise `work`"):
        widths.even(channels, 0.01)


def test_damage_lies_on_straight_lines_between_the_measured_widths() -> None:
    space = graph.Space("a", np.arange(40), ("a",))
    damage = widths.Damage(space, (0.25, 0.5, 1.0), (4.0, 1.0, 0.0))
    assert [damage.at(w) for w in (4, 10, 15, 20, 30, 40)] == [4, 4, 2.5, 1, 0.5, 0]


# Slimming


@pytest.fixture(scope="module")
def slimmed(teacher: Student, toys: Seen) -> Slimmed:
    return slim(teacher.net, Aim(0.5), toys, seed=0)


def test_a_slim_net_really_is_smaller_and_agrees(
    slimmed: Slimmed, teacher: Student, toys: Seen
) -> None:
    share = student.macs(slimmed.net) / student.macs(teacher.net)
    assert 0.3 < share <= 0.5
    for name, mask in slimmed.stays.items():
        if name != "pixels":
            assert slimmed.net.get_layer(name).output_shape[-1] == mask.sum(), name
    found, expected = run(slimmed.net, toys.pixels), run(teacher.net, toys.pixels)
    assert away(found, expected) < 0.05
    assert np.mean(found.argmax(1) == expected.argmax(1)) > 0.95


def test_maps_at_the_stage_ends_are_those_of_the_kept_channels(
    slimmed: Slimmed, teacher: Student, toys: Seen
) -> None:
    pupil = student.of(slimmed.net, slimmed.stays)
    assert list(pupil.kept) == list(teacher.kept) == list(student.STAGE_ENDS)
    x = toys.pixels[:32].astype(np.float32)
    own, expected = (s.watched()(x)[3:] for s in (pupil, teacher))
    for (name, ids), maps, whole in zip(pupil.kept.items(), own, expected, strict=True):
        assert maps.shape[-1] == len(ids)
        same = whole.numpy()[..., ids]
        assert away(maps.numpy(), same) < 0.5 * away(maps.numpy()[..., ::-1], same), name
    assert min(len(ids) for ids in pupil.kept.values()) < 32


def test_what_matters_to_the_loss_is_a_better_guide_than_chance(
    teacher: Student, toys: Seen
) -> None:
    expected = run(teacher.net, toys.pixels)

    def lost(aim: Aim, seed: int) -> float:
        return away(run(slim(teacher.net, aim, toys, seed).net, toys.pixels), expected)

    aim = Aim(0.35, rounds=1, even=True)
    by_chance = [lost(replace(aim, criterion="random"), seed) for seed in range(4)]
    assert lost(aim, 0) < np.median(by_chance)


@pytest.mark.parametrize("criterion", recipe.CRITERIA)
def test_the_channels_that_leave_are_those_that_matter_least(
    criterion: str, teacher: Student, learnt: keras.Model, toys: Seen
) -> None:
    norms, channels = importance.scales(learnt), graph.channels(teacher.net)
    scores = {
        "taylor": lambda: importance.taylor(teacher.net, channels, toys.pixels, toys.labels),
        "l1": lambda: importance.l1(channels),
        "bn": lambda: importance.summed(channels, norms),
        "random": lambda: importance.chance(channels, 5),
    }[criterion]()
    aim = Aim(0.6, criterion, rounds=1, even=True)
    found = slim(teacher.net, aim, toys, seed=5, norms=norms)
    for space in channels.spaces():
        stays = found.stays[space.name]
        if not stays.all():
            assert scores[space.ids[stays]].min() >= scores[space.ids[~stays]].max(), space.name


def test_scales_that_were_folded_are_followed_through_all_rounds(
    teacher: Student, learnt: keras.Model, toys: Seen
) -> None:
    norms = importance.scales(learnt)
    found = slim(teacher.net, Aim(0.4, "bn", rounds=2), toys, seed=0, norms=norms)
    stays = found.stays["conv3_1_conv"]
    assert 0 < np.count_nonzero(stays) < 40
    assert norms["conv3_1_conv"][stays].min() >= norms["conv3_1_conv"][~stays].max()


def test_even_means_the_same_share_of_every_space(teacher: Student, toys: Seen) -> None:
    found = slim(teacher.net, Aim(0.5, "random", rounds=1, even=True), toys, seed=0)
    spaces = [s for s in graph.channels(teacher.net).spaces() if len(s.ids) > 8]
    shares = [found.stays[s.name].mean() for s in spaces]
    assert max(shares) - min(shares) < 8 / 40
    assert 0.3 < student.macs(found.net) / student.macs(teacher.net) <= 0.5


@pytest.mark.parametrize("even", [False, True])
def test_many_rounds_leave_as_much_as_few(teacher: Student, toys: Seen, even: bool) -> None:
    """Widths go in steps of eight: what a round takes too much must not add up."""
    few, many = (
        student.macs(slim(teacher.net, Aim(0.5, "l1", rounds, even), toys, seed=0).net)
        for rounds in (1, 5)
    )
    assert 0.75 * few < many <= 0.5 * student.macs(teacher.net)


def test_keeping_everything_changes_nothing(teacher: Student, toys: Seen) -> None:
    found = slim(teacher.net, Aim(1.0, rounds=1), toys, seed=0)
    np.testing.assert_allclose(
        run(found.net, toys.pixels), run(teacher.net, toys.pixels), atol=1e-4
    )


def test_slimming_again_with_the_same_seed_gives_the_same_net(
    slimmed: Slimmed, teacher: Student, toys: Seen
) -> None:
    again = slim(teacher.net, Aim(0.5), toys, seed=0)
    for own, expected in zip(again.net.get_weights(), slimmed.net.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_slimming_below_an_eighth_is_refused(teacher: Student, toys: Seen) -> None:
    with pytest.raises(InputError, match="raise `work`"):
        slim(teacher.net, Aim(0.001, "l1", even=True), toys, seed=0)


def test_progress_is_told_of_every_stage(teacher: Student, toys: Seen) -> None:
    told: list[tuple[str, int, int]] = []

    def note(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    slim(teacher.net, Aim(0.8, "l1", rounds=1), toys, seed=0, progress=note)
    assert {step[0] for step in told} == {"sensitivity", "reconstructing"}
    assert told[-1][1] == told[-1][2]
