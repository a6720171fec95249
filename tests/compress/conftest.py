"""A small full net and its slim copies, made once for all compression tests."""

import numpy as np
import pytest
import tf_keras as keras

import dermtrain  # noqa: F401  (Keras 2, before TensorFlow loads)
from dermcompress import slimnet
from dermcompress.fold import Conv, fold
from dermtrain import backbone, warmstart

SIZE = 64


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Smooth made-up pictures, uint8 (48, 64, 64, 3): noise at three scales."""
    random = np.random.default_rng(0)
    picture = np.zeros((48, SIZE, SIZE, 3))
    for cells in (2, 8, 32):
        grid = random.normal(0, 40, (48, cells, cells, 3))
        picture += np.repeat(np.repeat(grid, SIZE // cells, 1), SIZE // cells, 2)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def full(pixels: np.ndarray) -> keras.Model:
    """A full ResNet50 at 64 pixels: random kernels, BN statistics taken from the pictures."""
    keras.utils.set_random_seed(0)
    model = backbone.build(SIZE, 2)
    tail = backbone.above(model, backbone.PIXELS, backbone.TOP)
    stages = ["conv1", *backbone.STAGES]
    warmstart.adapt_batch_norm(tail, stages, pixels, np.arange(len(pixels)))
    return model


@pytest.fixture(scope="session")
def convs(full: keras.Model) -> dict[str, Conv]:
    """The full net's folded convolutions."""
    return fold(full)


@pytest.fixture
def net(convs: dict[str, Conv]) -> keras.Model:
    """The full net without BN, anew for each test."""
    return slimnet.build(SIZE, convs)
