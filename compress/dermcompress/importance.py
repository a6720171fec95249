"""How much each channel matters to the net: four criteria, one of them chance.

All give one figure for each channel number of `graph.Channels`, comparable within a space.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress.graph import Channels, mixes, nodes

Scores = npt.NDArray[np.float64]  # by channel number
_MEMORY = 8  # photographs at a time: every map and its gradient is held


def taylor(
    model: keras.Model,
    channels: Channels,
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
) -> Scores:
    """First-order Taylor: how much the loss would change without the channel.

    The squared sum over a map of activation times gradient, summed over the maps that hold the
    channel and that some layer mixes, mean over photographs (Molchanov et al. 2017, 2019).

    Args:
        model: Gives logits, as its first output.
        channels: Of the same net.
        pixels: uint8 (photographs, side, side, 3).
        labels: Their classes.
    """
    read = list(dict.fromkeys(n.sources[0] for n in channels.nodes if mixes(n.layer)))
    logits = model.outputs[0]
    probe = keras.Model(model.input, [logits, *(model.get_layer(name).output for name in read)])

    @tf.function(reduce_retracing=True)
    def squares(x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            scores, *maps = probe(x, training=False)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores)
        gradients = tape.gradient(loss, maps)
        products = [m * g for m, g in zip(maps, gradients, strict=True)]
        sums = [tf.reduce_sum(p, list(range(1, len(p.shape) - 1))) for p in products]
        return [tf.reduce_sum(tf.square(s), 0) for s in sums]

    totals = [np.zeros(len(channels.of[name])) for name in read]
    for start in range(0, len(pixels), _MEMORY):
        x = tf.constant(pixels[start : start + _MEMORY].astype(np.float32))
        found = squares(x, tf.constant(labels[start : start + _MEMORY]))
        for total, part in zip(totals, found, strict=True):
            total += part.numpy() / len(pixels)
    return summed(channels, dict(zip(read, totals, strict=True)))


def l1(channels: Channels) -> Scores:
    """Sum of the absolute weights that write a channel (Li et al. 2017).

    In each layer in units of its mean, so that layers which write the same channels count alike.
    """
    sums = {}
    for node in channels.nodes:
        if mixes(node.layer):
            kernel = np.abs(node.layer.get_weights()[0])
            each = kernel.sum(axis=tuple(range(kernel.ndim - 1)))
            sums[node.name] = each / max(float(each.mean()), 1e-12)
    return summed(channels, sums)


def scales(model: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """Absolute scales of the batch normalisations, by the convolution that each one follows.

    Liu et al. 2017: the criterion `bn`. Of the net before they are folded: afterwards there are
    none. Sum them by channel with `summed`.
    """
    norms = (n for n in nodes(model) if isinstance(n.layer, keras.layers.BatchNormalization))
    return {n.sources[0]: np.abs(n.layer.gamma.numpy()) for n in norms if n.layer.scale}


def chance(channels: Channels, seed: int) -> Scores:
    """Anything: the baseline that every other criterion must beat."""
    return np.random.default_rng(seed).random(_count(channels))


def summed(channels: Channels, each: Mapping[str, npt.NDArray]) -> Scores:
    """Sum figures of the layers' outputs by channel number."""
    totals = np.zeros(_count(channels))
    for name, values in each.items():
        np.add.at(totals, channels.of[name], values)
    return totals


def _count(channels: Channels) -> int:
    return 1 + max(int(ids.max()) for ids in channels.of.values())
