"""Fine-tuning: the part above the freeze boundary learns on, slowly, from the head's plateau."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge.progress import Progress, silent
from dermtrain.features import Features, predict
from dermtrain.history import Epoch, Phase
from dermtrain.recipe import Recipe
from dermtrain.truth import Truth

_SLOWER = 0.1  # the learning rate falls by this at the first plateau
_CLIP = 5.0  # greatest length of a gradient: one odd batch must not undo what was learnt


@dataclass(frozen=True, slots=True)
class Photographs:
    """What fine-tuning sees: features at the boundary and truth of all rows, and the two splits."""

    features: Features
    truth: Truth
    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]


def finetune(
    tail: keras.Model,
    seen: Photographs,
    recipe: Recipe,
    seed: int,
    phase: Phase,
    progress: Progress = silent,
) -> None:
    """Train `tail` in place; it ends with the weights of its best epoch on validation.

    The first entry of the phase is the start, before any step: fine-tuning never ends worse than
    the head that it began with. The learning rate rises during the first epoch, since Adam's first
    steps are as long as all others and know least. At the first plateau it falls tenfold and
    training goes on from the best weights; at the second it ends.
    """
    optimizer = keras.optimizers.AdamW(
        recipe.learning_rate, weight_decay=recipe.weight_decay, global_clipnorm=_CLIP
    )
    step = _step(tail, optimizer, recipe, _class_weights(seen.truth.labels[seen.train]))
    random = np.random.default_rng(seed)
    phase.add(_watch(tail, seen, loss=float("nan"), rate=recipe.learning_rate))
    best, slowed = tail.get_weights(), False
    for epoch in range(1, recipe.epochs + 1):
        losses = []
        batches = list(_batches(seen.train, recipe.batch, random))
        for done, rows in enumerate(batches, 1):
            view = int(random.integers(seen.features.views))
            if epoch == 1:
                optimizer.learning_rate.assign(recipe.learning_rate * done / len(batches))
            x, y = seen.features.take(rows, view), seen.truth.labels[rows]
            losses.append(float(step(tf.constant(x), tf.constant(y))))
            progress(f"{phase.name}, epoch {epoch} of at most {recipe.epochs}", done, len(batches))
        rate = float(optimizer.learning_rate.numpy())
        plateau = phase.add(_watch(tail, seen, float(np.mean(losses)), rate))
        if phase.improved:
            best = tail.get_weights()
        if plateau and slowed:
            break
        if plateau:
            slowed = True
            phase.patient_again()
            optimizer.learning_rate.assign(rate * _SLOWER)
            tail.set_weights(best)
    tail.set_weights(best)


def _step(
    tail: keras.Model, optimizer: keras.optimizers.Optimizer, recipe: Recipe, weights: tf.Tensor
):
    """One step of gradient descent as one compiled graph: (features, labels) -> loss."""
    classes = int(tail.output_shape[-1])

    @tf.function(reduce_retracing=True)
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            # BN keeps the statistics it has: those of a small batch would wreck a learnt base.
            logits = tail(x, training=False)
            target = tf.one_hot(y, classes) * (1 - recipe.label_smoothing)
            target += recipe.label_smoothing / classes
            each = tf.nn.softmax_cross_entropy_with_logits(target, logits)
            loss = tf.reduce_sum(each * tf.gather(weights, y)) / tf.reduce_sum(
                tf.gather(weights, y)
            )
        gradients = tape.gradient(loss, tail.trainable_variables)
        optimizer.apply_gradients(zip(gradients, tail.trainable_variables, strict=True))
        return loss

    return step


def _watch(tail: keras.Model, seen: Photographs, loss: float, rate: float) -> Epoch:
    logits = predict(tail, seen.features, seen.val)
    truth = seen.truth.of(seen.val)
    return Epoch(rate, loss, truth.loss(logits), truth.auc(logits))


def _class_weights(labels: npt.NDArray[np.int64]) -> tf.Tensor:
    """Weights with which every class counts the same."""
    counts = np.bincount(labels)
    return tf.constant(len(labels) / (len(counts) * counts), tf.float32)


def _batches(
    rows: npt.NDArray[np.int64], size: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """The rows in random order, in batches of one size; a short last one is left out."""
    order = random.permutation(rows)
    for start in range(0, max(1, len(order) - size + 1), size):
        yield np.sort(order[start : start + size])  # sorted: neighbours on disk are read together
