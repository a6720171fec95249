"""A gentle start: new stages pass on what was learnt, on statistics of the data."""

from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermedge.decide import probabilities
from dermtrain import backbone, warmstart, weights
from dermtrain.features import predict

pytestmark = pytest.mark.tensorflow

BOUNDARY = "conv4_block6_out"
ROWS = np.arange(40)
EPSILON = 1.001e-5  # of BN in keras.applications.ResNet50


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Random activations at the boundary, each channel with its own mean and spread."""
    random = np.random.default_rng(0)
    means, spreads = random.normal(0, 2, 1024), random.uniform(0.5, 3, 1024)
    return random.normal(means, spreads, (40, 4, 4, 1024)).astype(np.float16)


@pytest.fixture(scope="module")
def model(weight_file: Path, features: np.ndarray) -> keras.Model:
    """A net filled up to conv4, with conv5 opened and adapted."""
    model = backbone.build(64, 3)
    weights.fill(model, str(weight_file))
    warmstart.open_stages(model, ["conv5"])
    before = model.get_layer("conv4_block5_2_bn").get_weights()
    tail = backbone.above(model, "conv4_block5_out", backbone.TOP)
    warmstart.adapt_batch_norm(tail, ["conv5"], _features_below(features), ROWS[:8])
    np.testing.assert_equal(model.get_layer("conv4_block5_2_bn").get_weights(), before)
    tail = backbone.above(model, BOUNDARY, backbone.TOP)
    warmstart.adapt_batch_norm(tail, ["conv5"], features, ROWS)
    return model


def _features_below(features: np.ndarray) -> np.ndarray:
    return np.maximum(features[:8], 0)


def _statistics(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per-channel mean and variance of a batch, the latter over n - 1 as TensorFlow keeps it."""
    flat = batch.reshape(-1, batch.shape[-1])
    return flat.mean(axis=0), flat.var(axis=0, ddof=1)


def test_adapted_statistics_are_the_mean_over_the_batches_of_the_data(
    model: keras.Model, features: np.ndarray
) -> None:
    seen = features.astype(np.float32)[:, ::2, ::2]  # conv5 begins with a step of two
    pairs = [_statistics(seen[:32]), _statistics(seen[32:])]
    mean, variance = (np.mean(values, axis=0) for values in zip(*pairs, strict=True))
    gamma, beta, found_mean, found_variance = model.get_layer("conv5_block1_0_bn").get_weights()
    np.testing.assert_allclose(found_mean, [*mean, *-mean], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found_variance, [*variance, *variance], rtol=1e-3)
    np.testing.assert_array_equal(gamma, np.ones(2048))
    np.testing.assert_array_equal(beta, np.zeros(2048))


def test_opened_stage_hands_on_both_signs_of_the_normalised_map_and_nothing_else(
    model: keras.Model, features: np.ndarray
) -> None:
    _, _, mean, variance = model.get_layer("conv5_block1_0_bn").get_weights()
    seen = features.astype(np.float32)[:, ::2, ::2]
    z = (seen - mean[:1024]) / np.sqrt(variance[:1024] + EPSILON)
    expected = np.maximum(np.concatenate([z, -z], axis=-1), 0)
    for block in (1, 2, 3):  # residual branches add 0, so all three blocks give the same
        tail = backbone.above(model, BOUNDARY, f"conv5_block{block}_out")
        np.testing.assert_allclose(predict(tail, features, ROWS), expected, atol=1e-3)


def test_adapting_leaves_no_trace_on_momentum_and_trainability(model: keras.Model) -> None:
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.99}
    assert all(norm.trainable for norm in norms)


def test_head_is_the_linear_classifier_of_the_pooled_features(
    model: keras.Model, features: np.ndarray
) -> None:
    random = np.random.default_rng(1)
    weight, bias = random.normal(0, 0.02, (3, 2048)), random.normal(size=3)
    warmstart.set_head(model, weight, bias)
    maps = predict(backbone.above(model, BOUNDARY, backbone.TOP), features, ROWS)
    found = predict(backbone.above(model, BOUNDARY), features, ROWS)
    np.testing.assert_allclose(found, maps.mean(axis=(1, 2)) @ weight.T + bias, atol=1e-3)


def test_shift_to_prior_is_bayes_rule(model: keras.Model, features: np.ndarray) -> None:
    tail = backbone.above(model, BOUNDARY)
    balanced = probabilities(predict(tail, features, ROWS), 1.0)
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    warmstart.shift_to_prior(model, labels)
    expected = balanced * [0.7, 0.2, 0.1]
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        probabilities(predict(tail, features, ROWS), 1.0), expected, atol=1e-4
    )


def test_shift_to_equal_frequencies_changes_nothing(model: keras.Model) -> None:
    before = model.get_layer(backbone.HEAD).get_weights()
    warmstart.shift_to_prior(model, np.array([0, 1, 2, 2, 1, 0]))
    for found, expected in zip(model.get_layer(backbone.HEAD).get_weights(), before, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
