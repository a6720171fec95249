"""Folding, choosing, reconstructing and slimming, against numpy, scikit-learn and Keras."""

import numpy as np
import pytest
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from dermcompress import slim, slimnet
from dermcompress.fold import Conv
from dermcompress.reconstruct import choose, solve
from dermcompress.steps import logits_of

pytestmark = pytest.mark.tensorflow


def test_folded_net_is_the_full_net(
    full: keras.Model, net: keras.Model, pixels: np.ndarray
) -> None:
    expected = logits_of(full, pixels)
    assert np.ptp(expected) > 0.01
    bound = 1e-4 * float(np.ptp(expected))
    np.testing.assert_allclose(logits_of(net, pixels), expected, atol=bound)
    assert not [x for x in net.layers if isinstance(x, keras.layers.BatchNormalization)]


def test_macs_of_resnet50_are_the_published_ones(convs: dict[str, Conv]) -> None:
    # 3.86 G for the convolutions at 224 pixels with stride in the 1x1 (He et al. 2015 give 3.8 G)
    assert slimnet.macs(slimnet.build(224, convs)) == pytest.approx(3.86e9, rel=0.01)


@given(channels=st.integers(2, 24), keep=st.integers(1, 24), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_duplicate_channels_leave_first_and_cost_nothing(
    channels: int, keep: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(200, channels))
    doubled = np.concatenate([inputs, inputs], axis=1)
    weights = random.normal(size=(2 * channels, 5))
    kept = choose(doubled.T @ doubled / 200, weights, channels)
    assert sorted(set(kept % channels)) == list(range(channels))
    smaller = doubled[:, kept]
    goal = doubled @ weights
    solved = solve(smaller.T @ smaller / 200, smaller.T @ goal / 200, weights[kept])
    assert np.square(smaller @ solved - goal).mean() < 1e-4 * np.square(goal).mean()


def test_chosen_channels_beat_random_ones() -> None:
    random = np.random.default_rng(0)
    inputs = np.maximum(random.normal(size=(500, 8)) @ random.normal(size=(8, 32)), 0)
    weights = random.normal(size=(32, 16))
    gram, goal = inputs.T @ inputs / 500, inputs @ weights

    def error(kept: np.ndarray) -> float:
        part = inputs[:, kept]
        solved = solve(part.T @ part / 500, part.T @ goal / 500, weights[kept])
        return float(np.square(part @ solved - goal).mean())

    chosen = error(choose(gram, weights, 16))
    assert all(chosen < error(random.permutation(32)[:16]) for _ in range(20))


def test_solve_is_ridge_regression_on_the_change() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(100, 6)), random.normal(size=(100, 3))
    start = random.normal(size=(6, 3))
    moments = x.T @ x / 100
    ridge = Ridge(alpha=100 * 1e-3 * np.trace(moments) / 6, fit_intercept=False).fit(
        x, y - x @ start
    )
    np.testing.assert_allclose(
        solve(moments, x.T @ y / 100, start), start + ridge.coef_.T, atol=1e-10
    )


@given(channels=st.integers(1, 512), keep=st.floats(0.01, 1))
def test_width_is_a_multiple_of_eight_or_all(channels: int, keep: float) -> None:
    width = slim.width(channels, keep)
    assert 1 <= width <= channels
    assert width == channels or width % 8 == 0


def test_slim_net_really_is_smaller_and_agrees(
    convs: dict[str, Conv], pixels: np.ndarray, full: keras.Model
) -> None:
    slimmed = slim.slim(convs, pixels, keep=0.5, seed=0)
    net = slimnet.build(64, slimmed)
    assert slimnet.macs(net) < 0.5 * slimnet.macs(slimnet.build(64, convs))
    for block in slimnet.blocks():
        inner = slimmed[block.conv(1)].bias.size
        assert inner == convs[block.conv(1)].bias.size // 2
        assert slimmed[block.conv(2)].kernel.shape[2] == inner
        assert slimmed[block.conv(3)].bias.size == convs[block.conv(3)].bias.size
    own, expected = (logits_of(x, pixels)[:, 1] for x in (net, full))
    cut = {
        name: Conv(conv.kernel * (np.arange(conv.bias.size) < conv.bias.size / 2), conv.bias)
        if name[-6:] in ("1_conv", "2_conv") and name != "conv1_conv"
        else conv
        for name, conv in convs.items()
    }
    naive = logits_of(slimnet.build(64, cut), pixels)[:, 1]
    assert np.square(own - expected).mean() < 0.25 * np.square(naive - expected).mean()


def test_keeping_everything_changes_nothing(
    convs: dict[str, Conv], pixels: np.ndarray, net: keras.Model
) -> None:
    slimmed = slim.slim(convs, pixels, keep=1.0, seed=0)
    same = logits_of(slimnet.build(64, slimmed), pixels)
    expected = logits_of(net, pixels)
    assert np.abs(same - expected).max() < 0.1 * np.ptp(expected)  # maps are float16 on the way
