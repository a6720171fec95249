"""Structured pruning: whole channels leave the bottlenecks, the rest is reconstructed.

He, Zhang, Sun 2017 and ThiNet (Luo et al. 2017): block by block, after a layer's channels are
chosen, its consumer is solved by least squares so that it gives the full model's pre-activations
from the kept channels, on the slim net's own inputs. The residual stream keeps its width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dermcompress.fold import Conv
from dermcompress.reconstruct import choose, solve
from dermcompress.slimnet import Block, blocks
from dermedge.progress import Progress, silent
from dermtrain.features import half

_BATCH = 16
_POSITIONS = 48  # sampled in each photograph's map: neighbours tell the solver little new
_MULTIPLE = 8  # widths that vector units like

Maps = npt.NDArray[np.float16]  # (photographs, height, width, channels)
Samples = npt.NDArray[np.float32]  # (photographs * _POSITIONS, channels)


def slim(
    convs: Mapping[str, Conv],
    pixels: npt.NDArray[np.uint8],
    keep: float,
    seed: int,
    progress: Progress = silent,
) -> dict[str, Conv]:
    """Take channels out of every bottleneck.

    Args:
        convs: The full net's folded convolutions.
        pixels: uint8 (photographs, size, size, 3): what the solver looks at.
        keep: Share of the bottleneck channels that stay, above 0 to 1.
        seed: Of the sampled positions.
        progress: Told of the blocks done.

    Returns:
        The slim net's convolutions; only those of the bottlenecks have changed.
    """
    slimmed = dict(convs)
    full = slim = _stem(pixels, convs)
    todo = blocks()
    for done, block in enumerate(todo):
        progress("slimming", done, len(todo))
        random = np.random.default_rng([seed, done])
        full, slim = _slim_block(block, convs, slimmed, full, slim, keep, random)
    progress("slimming", len(todo), len(todo))
    return slimmed


def width(channels: int, keep: float) -> int:
    """How many of the channels stay: the share, rounded to a multiple of 8, at least 8."""
    return min(channels, max(_MULTIPLE, round(channels * keep / _MULTIPLE) * _MULTIPLE))


def _slim_block(
    block: Block,
    convs: Mapping[str, Conv],
    slimmed: dict[str, Conv],
    full: Maps,
    slim: Maps,
    keep: float,
    random: np.random.Generator,
) -> tuple[Maps, Maps]:
    """Slim one bottleneck in `slimmed`; full and slim maps before it become those after it."""
    one, two, three = (convs[block.conv(number)] for number in (1, 2, 3))
    skip_full, skip_slim = (_shortcut(block, convs, maps) for maps in (full, slim))
    inner = _run(full, one, block.stride, relu=True)
    points = _points(inner.shape, random)
    goal = _run(inner, two)

    inside = _run(slim, one, block.stride, relu=True)
    kept = _choose(_sample(inside, points), two, keep)
    slimmed[block.conv(1)] = Conv(one.kernel[..., kept], one.bias[kept])
    inside = inside[..., kept]
    two = Conv(two.kernel[:, :, kept], two.bias)
    two = _solve(_patches(inside, points), _sample(goal, points), two)

    after = _add(_run(_relu(goal), three), skip_full)
    inside = _run(inside, two, relu=True)
    kept = _choose(_sample(inside, points), three, keep)
    slimmed[block.conv(2)] = Conv(two.kernel[..., kept], two.bias[kept])
    inside = inside[..., kept]
    three = Conv(three.kernel[:, :, kept], three.bias)
    missing = _sample(after, points) - _sample(skip_slim, points)
    three = _solve(_sample(inside, points), missing, three)
    slimmed[block.conv(3)] = three
    return _relu(after), _relu(_add(_run(inside, three), skip_slim))


def _stem(pixels: npt.NDArray[np.uint8], convs: Mapping[str, Conv]) -> Maps:
    """From the pixels to the first bottleneck, as in the net: normalise, conv1, max pooling."""
    normalise, conv1 = convs["normalise"], convs["conv1_conv"]

    def stem(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.conv2d(x, normalise.kernel, 1, "VALID") + normalise.bias
        x = tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]])
        x = tf.nn.relu(tf.nn.conv2d(x, conv1.kernel, 2, "VALID") + conv1.bias)
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    return _map(pixels, stem)


def _run(maps: Maps, conv: Conv, stride: int = 1, relu: bool = False) -> Maps:
    """One convolution over all maps."""

    def run(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(x, conv.kernel, stride, "SAME") + conv.bias
        return tf.nn.relu(y) if relu else y

    return _map(maps, run)


def _map(maps: npt.NDArray, function) -> Maps:
    """Apply a function of float32 tensors to the maps, a few photographs at a time."""
    parts = []
    for start in range(0, len(maps), _BATCH):
        x = tf.constant(maps[start : start + _BATCH].astype(np.float32))
        parts.append(half(function(x).numpy()))
    return np.concatenate(parts)


def _shortcut(block: Block, convs: Mapping[str, Conv], maps: Maps) -> Maps:
    return _run(maps, convs[block.conv(0)], block.stride) if block.projects else maps


def _add(left: Maps, right: Maps) -> Maps:
    return left + right


def _relu(maps: Maps) -> Maps:
    return np.maximum(maps, 0)


def _points(shape: tuple[int, ...], random: np.random.Generator) -> tuple[npt.NDArray, ...]:
    """Sampled positions: index arrays (photograph, row, column) of one length."""
    photographs, height, width, _ = shape
    count = photographs * _POSITIONS
    photograph = np.repeat(np.arange(photographs), _POSITIONS)
    return photograph, random.integers(height, size=count), random.integers(width, size=count)


def _sample(maps: Maps, points: tuple[npt.NDArray, ...]) -> Samples:
    return maps[points].astype(np.float32)


def _patches(maps: Maps, points: tuple[npt.NDArray, ...]) -> Samples:
    """What a 3x3 kernel sees at the points, flattened as (row, column, channel)."""
    photograph, row, column = points
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[photograph, row + i, column + j] for i in range(3) for j in range(3)]
    return np.concatenate(taps, axis=1).astype(np.float32)


def _choose(inputs: Samples, consumer: Conv, keep: float) -> npt.NDArray[np.int64]:
    """Channels to keep of those that `consumer` reads; its taps count as so many outputs."""
    gram = (inputs.T @ inputs / len(inputs)).astype(np.float64)
    by_channel = np.moveaxis(consumer.kernel, 2, 0).reshape(len(gram), -1).astype(np.float64)
    return choose(gram, by_channel, width(len(gram), keep))


def _solve(inputs: Samples, goal: Samples, conv: Conv) -> Conv:
    """Fit kernel and bias of a convolution to the goal at the sampled points."""
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1), np.float32)], axis=1)
    start = np.concatenate([conv.kernel.reshape(-1, len(conv.bias)), conv.bias[None]])
    moments = (inputs.T @ inputs / len(inputs)).astype(np.float64)
    products = (inputs.T @ goal / len(inputs)).astype(np.float64)
    solved = solve(moments, products, start.astype(np.float64)).astype(np.float32)
    return Conv(solved[:-1].reshape(conv.kernel.shape), solved[-1])
