"""What compression tests share: made-up pictures, a ResNet50, and a small net that has learnt."""

import numpy as np
import pytest
import tf_keras as keras

import dermtrain  # noqa: F401  (Keras 2, before TensorFlow loads)
from dermcompress import student
from dermcompress.answers import ask
from dermcompress.distill import Lesson
from dermcompress.fold import fold
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermtrain import backbone, warmstart

SIZE, TOY_SIZE, TOYS = 64, 32, 96


def pictures(random: np.random.Generator, count: int, side: int, scales: tuple) -> np.ndarray:
    """Noise of these numbers of cells a side, added up; uint8 (count, side, side, 3)."""
    picture = np.full((count, side, side, 3), 128.0)
    for cells in scales:
        grid = random.normal(0, 40, (count, cells, cells, 3))
        picture += np.repeat(np.repeat(grid, side // cells, 1), side // cells, 2)
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Smooth made-up pictures, uint8 (16, 64, 64, 3)."""
    return pictures(np.random.default_rng(0), 16, SIZE, (2, 8, 32))


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
def toys() -> Seen:
    """96 made-up pictures at 32 pixels: coarse ones (class 0) and fine ones (class 1)."""
    random = np.random.default_rng(1)
    coarse = pictures(random, TOYS // 2, TOY_SIZE, (2, 4))
    fine = pictures(random, TOYS // 2, TOY_SIZE, (2, 16))
    order = random.permutation(TOYS)
    labels = np.repeat([0, 1], TOYS // 2)
    return Seen(np.concatenate([coarse, fine])[order], labels[order])


@pytest.fixture(scope="session")
def learnt(toys: Seen) -> keras.Model:
    """A small residual net with names of the kit's ResNet50, that tells fine from coarse."""
    keras.utils.set_random_seed(3)
    layers = keras.layers

    def normed(x: keras.layers.Layer, name: str, conv: keras.layers.Layer) -> keras.layers.Layer:
        return layers.BatchNormalization(momentum=0.8, name=f"{name}_bn")(conv(x))

    pixels = keras.Input((TOY_SIZE, TOY_SIZE, 3), name=backbone.PIXELS)
    normalise = layers.Conv2D(3, 1, name="normalise", trainable=False)
    conv = layers.Conv2D(24, 3, 2, "same", use_bias=False, name="conv1_conv")
    stem = layers.ReLU(name="conv1_relu")(normed(normalise(pixels), "conv1", conv))
    conv = layers.Conv2D(40, 3, padding="same", name="conv3_1_conv")
    x = layers.Activation("relu", name="conv3_1_relu")(normed(stem, "conv3_1", conv))
    x = normed(x, "conv3_2", layers.Conv2D(24, 1, name="conv3_2_conv"))
    below = layers.ReLU(name="conv3_block4_out")(layers.Add(name="conv3_add")([stem, x]))
    conv = layers.DepthwiseConv2D(3, 2, "same", name="conv4_1_conv")
    x = layers.ReLU(6.0, name="conv4_1_relu")(normed(below, "conv4_1", conv))
    x = normed(x, "conv4_2", layers.Conv2D(40, 1, name="conv4_2_conv"))
    side = normed(below, "conv4_0", layers.Conv2D(40, 1, 2, name="conv4_0_conv"))
    below = layers.ReLU(name="conv4_block6_out")(layers.Add(name="conv4_add")([side, x]))
    x = normed(below, "conv5_1", layers.Conv2D(48, 3, 2, "same", name="conv5_1_conv"))
    side = normed(below, "conv5_0", layers.Conv2D(48, 1, 2, name="conv5_0_conv"))
    x = layers.ReLU(name=backbone.TOP)(layers.Add(name="conv5_add")([side, x]))
    scores = layers.Conv2D(2, 1, name=backbone.HEAD)(x)
    net = keras.Model(pixels, layers.GlobalAveragePooling2D(name=backbone.LOGITS)(scores))
    normalise.set_weights([np.eye(3)[None, None] / 64, -np.full(3, 2.0)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(3e-3), loss)
    net.fit(toys.pixels.astype(np.float32), toys.labels, batch_size=24, epochs=12, verbose=0)
    return net


@pytest.fixture(scope="session")
def teacher(learnt: keras.Model) -> Student:
    """The small net, folded; read only."""
    return student.of(fold(learnt))


@pytest.fixture(scope="session")
def lesson(teacher: Student, toys: Seen, tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    """What the small net says of all its pictures, as they are and mirrored."""
    rows = np.arange(len(toys.pixels))
    folder = tmp_path_factory.mktemp("answers")
    return Lesson(toys.pixels, rows, ask(teacher, toys.pixels, rows, 2, folder))
