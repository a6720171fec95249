"""What an epoch costs: only the layers that train.

A head on cached features against the same head with the base computed every time, and conv5 on
cached features against the whole net, beside conv5's share of the arithmetic.

pytest benchmarks/bench_training.py --benchmark-only
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from pytest_benchmark.fixture import BenchmarkFixture

from dermcompress.student import macs
from dermedge import image
from dermedge.contract import Input
from dermedge.prepare import prepare
from dermtrain import backbone, devices, finetune
from dermtrain.features import half, predict
from dermtrain.history import History
from dermtrain.recipe import Phase, Recipe
from dermtrain.truth import Truth

COUNT, BATCH, SIDE = 64, 16, 299  # the whole net at 32 photographs a step wants 10 GB
ROWS = np.arange(COUNT)
TRUTH = Truth(ROWS % 2, (1,))


@pytest.fixture(scope="module")
def net() -> keras.Model:
    """The full model; what its weights are makes no difference to the time."""
    return backbone.build(SIDE, 2)


@pytest.fixture(scope="module")
def prepared(photographs: list[Path]) -> np.ndarray:
    """Pixels of 64 photographs, uint8 (64, 299, 299, 3): 32, twice."""
    spec = Input(SIDE, SIDE)
    found = np.stack([prepare(image.read(path), spec)[0] for path in photographs])
    return np.resize(found, (COUNT, *found.shape[1:]))


@pytest.mark.parametrize("where", ["pixels", "cache"])
def test_epoch_of_the_head(
    benchmark: BenchmarkFixture, net: keras.Model, prepared: np.ndarray, where: str
) -> None:
    """The peer computes the frozen base in every epoch."""
    benchmark.group = f"transfer: an epoch of {COUNT} photographs"
    cut = backbone.PIXELS if where == "pixels" else backbone.TOP
    _measure(benchmark, net, prepared, cut, [net.get_layer(backbone.HEAD)])


@pytest.mark.parametrize("part", ["conv1", "conv5"])
def test_epoch_of_gradient_descent(
    benchmark: BenchmarkFixture, net: keras.Model, prepared: np.ndarray, part: str
) -> None:
    """The whole net from its pixels, and conv5 with the head from cached features."""
    benchmark.group = f"gradient descent: an epoch of {COUNT} photographs"
    cut = backbone.boundary_below(net, part)
    tail = backbone.above(net, cut)
    benchmark.extra_info["share_of_arithmetic"] = macs(tail) / macs(net)
    _measure(benchmark, net, prepared, cut, tail.layers)


def _measure(
    benchmark: BenchmarkFixture,
    net: keras.Model,
    pixels: np.ndarray,
    cut: str,
    trained: list[keras.layers.Layer],
) -> None:
    """One epoch of the net above `cut`, of which some layers train."""
    for layer in net.layers:
        layer.trainable = layer in trained and layer.name != "normalise"
    features = pixels
    if cut != backbone.PIXELS:
        features = half(predict(backbone.below(net, cut), pixels, ROWS))
    seen = finetune.Seen([features], None, features, TRUTH, ROWS, ROWS[:2])
    phase = Phase("epoch", "conv1", epochs=1, views=1, warmup=0.0, learning_rate=1e-9)
    recipe = Recipe("bench", batch=BATCH)
    descent = finetune.Descent(net, cut, phase, recipe, devices.find("float32"))

    def epoch() -> None:
        watch = History().phase("epoch", 9)
        finetune.finetune(descent, seen, (0,), watch, finetune.State())

    benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
