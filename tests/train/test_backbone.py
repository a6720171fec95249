"""The net is Keras' own ResNet50 on the same pixels, flat, and can be cut below any stage."""

import numpy as np
import pytest
import tf_keras as keras

from dermtrain import backbone
from dermtrain.dataset import Pixels

pytestmark = pytest.mark.tensorflow

BOUNDARIES = {
    "conv1": "pixels",
    "conv2": "pool1_pool",
    "conv3": "conv2_block3_out",
    "conv4": "conv3_block4_out",
    "conv5": "conv4_block6_out",
    "head": "conv5_block3_out",
}


@pytest.fixture(scope="module")
def photographs(prepared: Pixels) -> np.ndarray:
    """Two photographs as the model takes them, RGB, 0 to 255."""
    return prepared.values[:2].astype(np.float32)


@pytest.fixture(scope="module")
def feature_map(net: keras.Model, photographs: np.ndarray) -> np.ndarray:
    return backbone.below(net, backbone.TOP)(photographs).numpy()


def test_feature_maps_equal_those_of_keras_applications(
    net: keras.Model, photographs: np.ndarray, feature_map: np.ndarray
) -> None:
    size = photographs.shape[1]
    theirs = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    for layer in theirs.layers:
        if layer.weights:
            layer.set_weights(net.get_layer(layer.name).get_weights())
    expected = theirs(keras.applications.resnet.preprocess_input(photographs.copy())).numpy()
    assert feature_map.std() > 0.01
    np.testing.assert_allclose(feature_map, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_head_before_the_pooling_is_pooling_and_then_a_dense_layer(
    net: keras.Model, photographs: np.ndarray, feature_map: np.ndarray
) -> None:
    kernel, bias = net.get_layer(backbone.HEAD).get_weights()
    expected = feature_map.mean(axis=(1, 2)) @ kernel[0, 0] + bias
    np.testing.assert_allclose(net(photographs), expected, rtol=1e-4, atol=1e-5)


def test_net_is_one_flat_graph_from_pixels_to_logits(net: keras.Model) -> None:
    assert not [layer.name for layer in net.layers if isinstance(layer, keras.Model)]
    assert net.layers[0].name == backbone.PIXELS
    assert net.layers[-1].name == backbone.LOGITS
    assert net.output_shape == (None, 2)


@pytest.mark.parametrize("stage", BOUNDARIES)
def test_boundary_lies_right_below_the_stage(net: keras.Model, stage: str) -> None:
    boundary = backbone.boundary_below(net, stage)
    assert boundary == BOUNDARIES[stage]
    names = [layer.name for layer in net.layers]
    assert backbone.stage_of(names[names.index(boundary) + 1]) in (stage, "input")
    assert stage not in {backbone.stage_of(n) for n in names[: names.index(boundary) + 1]}


@pytest.mark.parametrize("boundary", BOUNDARIES.values())
def test_the_two_parts_at_a_boundary_compose_to_the_whole(
    net: keras.Model, photographs: np.ndarray, boundary: str
) -> None:
    parts = backbone.above(net, boundary)(backbone.below(net, boundary)(photographs))
    np.testing.assert_allclose(parts, net(photographs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "stage"),
    [
        ("pixels", "input"),
        ("normalise", "input"),
        ("conv1_bn", "conv1"),
        ("pool1_pool", "conv1"),
        ("conv4_block6_out", "conv4"),
        ("head", "head"),
        ("logits", "head"),
    ],
)
def test_every_layer_belongs_to_a_stage(layer: str, stage: str) -> None:
    assert backbone.stage_of(layer) == stage
