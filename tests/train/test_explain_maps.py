from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def batch(prepared) -> np.ndarray:
    return prepared.values[3:4]


def test_the_mean_of_a_class_activation_map_is_the_logit(net, batch) -> None:
    from dermtrain.explain.maps import class_maps

    logits = net(batch.astype(np.float32), training=False).numpy()[0]
    np.testing.assert_allclose(class_maps(net, batch).mean(axis=(0, 1)), logits, atol=1e-4)


def test_of_two_classes_the_mean_of_the_evidence_is_the_log_odds(net, batch) -> None:
    from dermtrain.explain.maps import class_maps, evidence, evidence_map

    logits = net(batch.astype(np.float32), training=False).numpy()[0]
    found = evidence_map(class_maps(net, batch), (1,)).mean()
    assert found == pytest.approx(logits[1] - logits[0], abs=1e-4)
    assert found == pytest.approx(evidence(logits, (1,)), abs=1e-4)


def test_evidence_of_several_classes_is_that_of_their_summed_probability() -> None:
    from dermedge.decide import positive_probability
    from dermtrain.explain.maps import evidence

    logits = np.array([0.3, -1.0, 2.0, 0.1, -0.4])
    p = positive_probability(logits, 1.0, (1, 3))
    assert evidence(logits, (1, 3)) == pytest.approx(np.log(p / (1 - p)))


def test_weights_of_the_logits_are_the_gradient_of_the_evidence() -> None:
    from dermtrain.explain.maps import evidence_weights

    logits, inside, step = np.array([0.3, -1.0, 2.0, 0.1]), [1, 3], 1e-6

    def log_odds(x: np.ndarray) -> float:
        return float(logsumexp(x[inside]) - logsumexp(np.delete(x, inside)))

    numeric = [(log_odds(logits + d) - log_odds(logits - d)) / (2 * step) for d in step * np.eye(4)]
    np.testing.assert_allclose(evidence_weights(logits, inside), numeric, atol=1e-6)


def test_grad_cam_at_the_last_layer_is_proportional_to_the_map_without_its_bias(net, batch) -> None:
    from dermtrain import backbone
    from dermtrain.explain.maps import class_maps, evidence_map, grad_cam

    found = grad_cam(net, backbone.TOP, batch, (1,))
    bias = net.get_layer(backbone.HEAD).get_weights()[1]
    expected = np.maximum(evidence_map(class_maps(net, batch), (1,)) - (bias[1] - bias[0]), 0)
    np.testing.assert_allclose(found * found.size, expected, atol=1e-4)


def test_grad_cam_of_an_inner_layer_weighs_channels_by_what_they_add(net, batch) -> None:
    from dermtrain import backbone
    from dermtrain.explain.maps import grad_cam

    layer = "conv5_block2_out"
    answers = backbone.below(net, layer)(batch.astype(np.float32)).numpy()
    above = backbone.above(net, layer)
    weights = _mean_gradient(above, answers)
    found = grad_cam(net, layer, batch, (1,))
    np.testing.assert_allclose(found, np.maximum(answers[0] @ weights, 0), rtol=1e-3, atol=1e-5)

    def log_odds(x: np.ndarray) -> float:
        logits = above(x.astype(np.float32)).numpy()[0]
        return float(logits[1] - logits[0])

    # Finite differences: each channel grows by its weight, everywhere.
    step = 0.01 * answers.std() / weights.std() * np.broadcast_to(weights, answers.shape)
    gain = (log_odds(answers + step) - log_odds(answers - step)) / 2
    assert gain == pytest.approx(float((step * weights).sum()), rel=0.05)


def _mean_gradient(above, answers: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    x = tf.constant(answers)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = above(x)
        score = logits[0, 1] - logits[0, 0]
    slopes: Any = tape.gradient(score, x)
    return slopes.numpy().mean(axis=(0, 1, 2))


def test_filters_show_red_as_red_though_the_net_takes_blue_first(net) -> None:
    import tf_keras as keras

    from dermtrain import backbone
    from dermtrain.explain import filters

    model: keras.Model = backbone.build(32, 2)
    first = model.get_layer("conv1_conv")
    kernel, bias = first.get_weights()
    kernel[:] = 0
    kernel[3, 3, 2, 5] = 0.1  # the third channel of the net is red: caffe's order is B, G, R
    kernel[3, 3, :, 6] = 0.4
    first.set_weights([kernel, bias])
    found = filters.first_layer(model)
    pictures = filters.as_pictures(found)
    assert pictures[5, 3, 3].tolist() == [255, 128, 128]
    assert pictures[6, 3, 3].tolist() == [255, 255, 255]
    assert pictures[0].max() == pictures[0].min() == 128
    order = filters.by_colour(found).tolist()
    assert order.index(6) < order.index(5) == 63
