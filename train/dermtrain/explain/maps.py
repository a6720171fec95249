"""Where the evidence lies: the exact class-activation map, and Grad-CAM at any layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermtrain import backbone

Map = npt.NDArray[np.float32]


def class_maps(model: keras.Model, batch: npt.NDArray[Any]) -> Map:
    """Class-activation maps (Zhou et al. 2016) of one photograph, one for each class.

    They are the outputs of the head's 1x1 convolution, so nothing is approximated: the mean of a
    class's map is the class's logit.

    Args:
        model: The full model.
        batch: One prepared photograph, (1, height, width, 3).

    Returns:
        float32 (height, width, classes), at the size of conv5.
    """
    head = keras.Model(model.input, model.get_layer(backbone.HEAD).output)
    return head(tf.cast(batch, tf.float32), training=False).numpy()[0]


def evidence(logits: npt.NDArray[np.floating], positive: Sequence[int]) -> float:
    """Log-odds of the positive classes together, before calibration.

    logsumexp(positive logits) - logsumexp(the others); of two classes, simply the difference.
    """
    inside = np.isin(np.arange(len(logits)), list(positive))
    return float(np.logaddexp.reduce(logits[inside]) - np.logaddexp.reduce(logits[~inside]))


def evidence_weights(
    logits: npt.NDArray[np.floating], positive: Sequence[int]
) -> npt.NDArray[np.float64]:
    """How much the log-odds gain with each logit: the gradient of `evidence`, float64 (classes,).

    Shares of the positive classes among themselves, which add up to 1, and of the others, up to -1.
    """
    inside = np.isin(np.arange(len(logits)), list(positive))
    shifted = np.asarray(logits, np.float64)
    weights = np.empty(len(logits))
    for group, sign in ((inside, 1.0), (~inside, -1.0)):
        powers = np.exp(shifted[group] - shifted[group].max())
        weights[group] = sign * powers / powers.sum()
    return weights


def evidence_map(maps: Map, positive: Sequence[int]) -> Map:
    """The class-activation maps put together: what speaks for (+) and against (-) the positives.

    Of two classes, its mean is the log-odds exactly; of more, the mean is their linear part at this
    photograph (`evidence_weights` times the logits).

    Args:
        maps: float32 (height, width, classes), from `class_maps`.
        positive: Numbers of the positive classes.

    Returns:
        float32 (height, width), logits.
    """
    weights = evidence_weights(maps.mean(axis=(0, 1)), positive)
    return (maps @ weights).astype(np.float32)


def grad_cam(
    model: keras.Model, layer: str, batch: npt.NDArray[Any], positive: Sequence[int]
) -> Map:
    """Grad-CAM (Selvaraju et al. 2017) of the positives' log-odds at one layer.

    Each channel counts with the mean of its gradient over the photograph; what speaks against is
    cut off. At conv5's last layer it is proportional to the class-activation map without its bias.

    Args:
        model: The full model.
        layer: Where: a layer that everything above goes through, such as conv4_block6_out.
        batch: One prepared photograph, (1, height, width, 3).
        positive: Numbers of the positive classes.

    Returns:
        float32 (height, width), not negative, at the layer's size.
    """
    below, above = backbone.below(model, layer), backbone.above(model, layer)
    answers = tf.convert_to_tensor(below(tf.cast(batch, tf.float32), training=False))
    inside = np.isin(np.arange(model.output_shape[-1]), list(positive))
    with tf.GradientTape() as tape:
        tape.watch(answers)
        logits = above(answers, training=False)[0]
        score = tf.reduce_logsumexp(logits[inside]) - tf.reduce_logsumexp(logits[~inside])
    slopes: Any = tape.gradient(score, answers)
    weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * answers, axis=-1)).numpy()[0]


def resized(values: Map, height: int, width: int) -> Map:
    """A map at another size: smoothed when it grows, averaged when it shrinks."""
    shrinks = values.shape[0] > height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(values, (width, height), interpolation=how)  # type: ignore[return-value]
