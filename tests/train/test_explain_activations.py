from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tensorflow


def test_strongest_channels_are_those_that_vary_most(rng: np.random.Generator) -> None:
    from dermtrain.explain.activations import strongest

    maps = rng.normal(size=(5, 6, 12)).astype(np.float32) * rng.permutation(12) + 100
    expected = np.argsort(-maps.reshape(-1, 12).std(axis=0))[:4]
    assert strongest(maps, 4, alike=2, rim=0).tolist() == expected.tolist()


def test_near_copies_of_a_stronger_channel_are_passed_over_while_others_are_left(
    rng: np.random.Generator,
) -> None:
    from dermtrain.explain.activations import strongest

    first, second = rng.normal(size=(2, 8, 8))
    maps = np.stack([3 * first, 2 * first + 5, second], axis=-1).astype(np.float32)
    assert strongest(maps, 2).tolist() == [0, 2]
    assert strongest(maps, 3).tolist() == [0, 1, 2]


def test_a_channel_that_answers_everywhere_alike_is_never_shown() -> None:
    from dermtrain.explain.activations import strongest

    maps = np.zeros((4, 4, 3), np.float32)
    maps[..., 1] = 9
    maps[0, 0, 2] = 1
    assert strongest(maps, 3).tolist() == [2]


def test_what_answers_to_the_padding_at_the_rim_alone_is_not_shown(
    rng: np.random.Generator,
) -> None:
    from dermtrain.explain.activations import inner, strongest

    maps = np.zeros((20, 20, 2), np.float32)
    maps[:, -1, 0] = 50
    maps[8:12, 8:12, 1] = 1
    assert strongest(maps, 2).tolist() == [1]
    assert inner(maps).shape == (18, 18, 2)
    assert inner(maps[:4, :4]).shape == (4, 4, 2)


@settings(max_examples=40)
@given(count=st.integers(0, 9), channels=st.integers(1, 7), seed=st.integers(0, 99))
def test_channels_differ_and_are_no_more_than_asked_for(
    count: int, channels: int, seed: int
) -> None:
    from dermtrain.explain.activations import strongest

    maps = np.random.default_rng(seed).integers(0, 3, (3, 3, channels)).astype(np.float32)
    found = strongest(maps, count).tolist()
    assert len(set(found)) == len(found) <= min(count, channels)


def test_answers_are_those_of_the_layers(net, prepared) -> None:
    import tf_keras as keras

    from dermtrain.explain import activations

    last = activations.last_layers(net)
    assert list(last) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert last["conv1"] == "conv1_relu"
    assert last["conv4"] == "conv4_block6_out"
    found = activations.look(net, [last["conv2"], last["conv5"]], prepared.values[:1], 3)
    tap = keras.Model(net.input, net.get_layer("conv2_block3_out").output)
    raw = tap(prepared.values[:1].astype(np.float32)).numpy()[0]
    assert found[0].total == 256
    assert found[1].layer == "conv5_block3_out"
    np.testing.assert_allclose(found[0].maps[0], raw[..., found[0].channels[0]], atol=1e-5)


def test_seventeen_cuts_lead_through_the_net(net) -> None:
    from dermtrain.explain.activations import slice_layers

    assert len(slice_layers(net)) == 1 + 3 + 4 + 6 + 3


def test_windows_agree_with_the_published_ones_of_resnet50(net) -> None:
    from dermtrain.explain.activations import receptive_fields

    fields = receptive_fields(net)  # Araujo et al. 2019: ResNet-50 v1 sees 483 pixels
    assert fields["conv1_relu"] == 7
    assert fields["conv2_block3_out"] == 35
    assert fields["conv5_block3_out"] == 483


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
