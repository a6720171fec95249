"""What starts at random must not disturb what was learnt: a gentle start for new stages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermtrain import backbone
from dermtrain.features import Source, batches


def open_stages(model: keras.Model, stages: list[str]) -> None:
    """Let stages that start at random pass on what they are given.

    The last BN gamma of each block is set to 0, so that its residual branch adds nothing until it
    has learnt to (Goyal et al. 2017). The projection of the first block becomes [I, -I]: after BN
    and ReLU it hands on the positive and the negative part of every channel below (CReLU, Shang et
    al. 2016), where a random projection would mix them for nothing.
    """
    for stage in stages:
        for layer in model.layers:
            if layer.name.startswith(f"{stage}_") and layer.name.endswith("_3_bn"):
                _, *rest = layer.get_weights()
                layer.set_weights([np.zeros_like(rest[0]), *rest])
        projection = model.get_layer(f"{stage}_block1_0_conv")
        kernel, bias = projection.get_weights()
        identity = np.eye(kernel.shape[2], dtype=kernel.dtype)
        if kernel.shape[3] == 2 * kernel.shape[2]:
            both = np.concatenate([identity, -identity], axis=1)
            projection.set_weights([both[None, None], np.zeros_like(bias)])


def adapt_batch_norm(
    tail: keras.Model, stages: list[str], features: Source, rows: npt.NDArray[np.int64]
) -> None:
    """Set the running statistics of the BN layers of `stages` to what the data show.

    Each batch of `rows` counts the same: the momentum k / (k + 1) makes the running value the plain
    mean over the batches seen. The BN layers of all other stages keep theirs.
    """
    norms = [x for x in tail.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [(norm, norm.momentum, norm.trainable) for norm in norms]
    for norm in norms:
        norm.trainable = backbone.stage_of(norm.name) in stages
    for k, batch in enumerate(batches(features, rows)):
        for norm in norms:
            norm.momentum = k / (k + 1)
        tail(tf.constant(batch), training=True)
    for norm, momentum, trainable in kept:
        norm.momentum, norm.trainable = momentum, trainable


def set_head(
    model: keras.Model, weights: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]
) -> None:
    """Write a linear classifier of pooled features into the head.

    Args:
        model: Whose head.
        weights: (classes, channels).
        bias: (classes,).
    """
    model.get_layer(backbone.HEAD).set_weights([weights.T[None, None], bias])


def shift_to_prior(model: keras.Model, labels: npt.NDArray[np.int64]) -> None:
    """Give a head that was trained as if classes were equally frequent their real frequencies.

    By Bayes' rule the logits gain log(prior) + log(classes) (Saerens et al. 2002).
    """
    head = model.get_layer(backbone.HEAD)
    kernel, bias = head.get_weights()
    prior = np.bincount(labels, minlength=len(bias)) / len(labels)
    head.set_weights([kernel, bias + np.log(prior) + np.log(len(bias))])
