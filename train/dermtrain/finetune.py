"""Fine-tuning: the part above the freeze boundary learns on, slowly, from the plateau before."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge.progress import Progress, silent
from dermtrain import backbone, checkpoint
from dermtrain.devices import Devices
from dermtrain.features import Source, predict
from dermtrain.feed import Feed, Order
from dermtrain.history import Epoch
from dermtrain.history import Phase as Watch
from dermtrain.recipe import Phase, Recipe
from dermtrain.truth import Truth
from dermtrain.views import Views

_SLOWER = 0.1  # the learning rate falls by this at the first plateau
_CLIP = 5.0  # greatest length of a gradient: one odd batch must not undo what was learnt


@dataclass(frozen=True, slots=True)
class Seen:
    """What a phase learns from and is watched on.

    Attributes:
        sources: Features at the boundary, one for each cached view; empty if views are fresh.
        fresh: Draws fresh views of the pixels; used if there are no cached ones.
        watched: Features of the validation photographs at the boundary, as they are.
        truth: Of all rows.
        train: Numbers of the rows to learn from.
        val: Numbers of the rows to watch.
    """

    sources: list[Source]
    fresh: Views | None
    watched: Source
    truth: Truth
    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]


@dataclass(slots=True)
class State:
    """How far a phase is; see `checkpoint.Checkpoint`."""

    epoch: int = 0
    slowed: bool = False
    optimizer: checkpoint.Arrays = field(default_factory=list)
    best: checkpoint.Arrays = field(default_factory=list)


class Descent:
    """One phase of gradient descent: a net cut at the boundary, its optimizer and its weights."""

    def __init__(
        self, model: keras.Model, boundary: str, phase: Phase, recipe: Recipe, devices: Devices
    ) -> None:
        """Prepare to train what lies above `boundary`.

        Args:
            model: The net, built under the strategy of `devices`.
            boundary: Name of the layer where it is cut.
            phase: What trains, and how.
            recipe: Batch and weight decay.
            devices: Where.
        """
        self.phase, self.devices, self.batch = phase, devices, recipe.batch
        self.frozen, self.tail = backbone.below(model, boundary), backbone.above(model, boundary)
        self.norms = [x for x in self.tail.layers if isinstance(x, keras.layers.BatchNormalization)]
        scales = {id(v) for norm in self.norms for v in (norm.gamma, norm.beta)}
        self.trained = [
            v for v in self.tail.trainable_variables if phase.bn != "frozen" or id(v) not in scales
        ]
        with devices.strategy.scope():
            self.optimizer = _optimizer(phase, recipe)
            self.optimizer.build(self.trained)
        self.step = self._compile(pixels=phase.source == "pixels" and boundary != backbone.PIXELS)

    @property
    def variables(self) -> list:
        """Everything above the boundary that may move."""
        statistics = [v for norm in self.norms for v in (norm.moving_mean, norm.moving_variance)]
        return [*self.trained, *(statistics if self.phase.bn == "adapt" else ())]

    def weights(self) -> checkpoint.Arrays:
        """A copy of everything that may move."""
        return [variable.numpy() for variable in self.variables]

    def averaged(self) -> checkpoint.Arrays:
        """Put the weight average in place of the weights; returns those."""
        kept = self.weights()
        if self.phase.average:
            _plain(self.optimizer).finalize_variable_values(self.trained)
        return kept

    def set(self, values: checkpoint.Arrays) -> None:
        """Set everything that may move."""
        checkpoint.restore(self.variables, values)

    def _compile(self, pixels: bool) -> Callable[..., tf.Tensor]:
        """One step as one compiled graph: (inputs, labels, weights) -> loss over all devices."""
        classes, smoothing = int(self.tail.output_shape[-1]), self.phase.label_smoothing
        learn, optimizer = self.phase.bn == "adapt", self.optimizer

        def replica(x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
            x = self.frozen(x, training=False) if pixels else x
            with tf.GradientTape() as tape:
                # Unless told to adapt, BN keeps the statistics that it has: those of a small batch
                # would wreck a learnt base.
                logits = tf.cast(self.tail(x, training=learn), tf.float32)
                target = tf.one_hot(y, classes) * (1 - smoothing) + smoothing / classes
                each = tf.nn.softmax_cross_entropy_with_logits(target, logits)
                loss = tf.reduce_sum(each * weight)  # weights add up to 1 over all devices
                scaled = _scaled(optimizer, loss)
            gradients = _unscaled(optimizer, tape.gradient(scaled, self.trained))
            optimizer.apply_gradients(zip(gradients, self.trained, strict=True))
            return loss

        @tf.function(reduce_retracing=True, jit_compile=self.devices.gpu)
        def step(x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
            losses = self.devices.strategy.run(replica, (x, y, weight))
            return self.devices.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        return step


def finetune(
    descent: Descent,
    seen: Seen,
    seed: tuple[int, ...],
    watch: Watch,
    state: State,
    save: Callable[[State], None] = lambda state: None,
    progress: Progress = silent,
) -> None:
    """Train in place; the net ends with the weights that the phase keeps.

    The first entry of the phase is the start, before any step: a phase that keeps its best epoch
    never ends worse than it began.

    Args:
        descent: The net at the phase's start, or as a checkpoint left it.
        seen: Photographs to learn from and to watch.
        seed: Of the order and the views; each epoch draws from it anew.
        watch: Records the epochs and knows the plateau.
        state: Where to go on.
        save: Told the state after each epoch, the net holding the weights of that moment.
        progress: Told of the steps.
    """
    phase, optimizer = descent.phase, _plain(descent.optimizer)
    order = Order(seen.train, seen.truth.labels, descent.batch, phase.balance)
    if state.optimizer:
        checkpoint.restore(_state_of(descent.optimizer), state.optimizer)
    if not watch.steps:
        watch.add(_watch(descent, seen, float("nan"), phase.learning_rate, 0.0))
        state.best = descent.weights()
    while state.epoch < phase.epochs and not watch.plateau:
        loss, idle = _epoch(descent, seen, order, (*seed, state.epoch), state, progress, watch.name)
        state.epoch += 1
        rate = float(optimizer.learning_rate.numpy())
        raw = descent.averaged()
        watch.add(_watch(descent, seen, loss, rate, idle))
        if watch.improved or phase.keep == "last":
            state.best = descent.weights()
        descent.set(raw)
        if watch.plateau and phase.schedule == "plateau" and not state.slowed:
            state.slowed = True
            watch.wait()
            descent.set(state.best)
        state.optimizer = [v.numpy() for v in _state_of(descent.optimizer)]
        save(state)
    descent.set(state.best)


def _epoch(
    descent: Descent,
    seen: Seen,
    order: Order,
    seed: tuple[int, ...],
    state: State,
    progress: Progress,
    name: str,
) -> tuple[float, float]:
    """One epoch: mean loss, and the share of the time that the device waited for input."""
    phase, devices = descent.phase, descent.devices
    weights = _class_weights(seen.truth, seen.train, phase.balance)
    feed = Feed(order, slice(devices.worker, None, devices.workers))
    batches = feed.fresh(seen.fresh, seed) if seen.fresh else feed.cached(seen.sources, seed)
    losses: list[tf.Tensor] = []
    stage = f"{name}, epoch {state.epoch + 1} of at most {phase.epochs}"
    start = time.monotonic()
    for done, (rows, x) in enumerate(batches, 1):
        rate = _rate(phase, state, state.epoch + (done - 1) / order.steps, 1 / order.steps)
        _plain(descent.optimizer).learning_rate.assign(rate)
        weight = weights[seen.truth.labels[rows]]
        weight = weight / weight.sum() / devices.workers
        y = tf.constant(seen.truth.labels[rows])
        parts = (tf.constant(np.asarray(x)), y, tf.constant(weight, tf.float32))
        losses.append(descent.step(*(devices.place(part) for part in parts)))
        progress(stage, done, order.steps)
    total = float(tf.reduce_mean(tf.stack(losses)))  # waits for the device
    return total, round(feed.waited / (time.monotonic() - start), 4)


def _rate(phase: Phase, state: State, epochs: float, step: float) -> float:
    """Learning rate after so many epochs; during the warm-up it rises from step to step."""
    rate = phase.learning_rate * (_SLOWER if state.slowed else 1.0)
    if epochs < phase.warmup:
        return rate * min(1.0, (epochs + step) / phase.warmup)
    if phase.schedule == "cosine":
        done = (epochs - phase.warmup) / max(phase.epochs - phase.warmup, step)
        return rate * 0.5 * (1 + np.cos(np.pi * min(1.0, done)))
    return rate


def _watch(descent: Descent, seen: Seen, loss: float, rate: float, idle: float) -> Epoch:
    logits = predict(descent.tail, seen.watched, seen.val)
    truth = seen.truth.of(seen.val)
    return Epoch(rate, loss, truth.loss(logits), truth.auc(logits), idle)


def _class_weights(
    truth: Truth, train: npt.NDArray[np.int64], balance: str
) -> npt.NDArray[np.float64]:
    """Weight of each class in the loss; with `weights`, every class counts the same."""
    counts = np.bincount(truth.labels[train], minlength=int(truth.labels.max()) + 1)
    if balance != "weights":
        return np.ones(len(counts))
    return 1.0 / np.maximum(counts, 1)


def _optimizer(phase: Phase, recipe: Recipe) -> keras.optimizers.Optimizer:
    found = keras.optimizers.AdamW(
        phase.learning_rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=_CLIP,
        use_ema=bool(phase.average),
        ema_momentum=phase.average or 0.99,
        jit_compile=False,
    )
    # Decay is for kernels: pulling a scale or a bias to 0 regularises nothing.
    found.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if keras.mixed_precision.global_policy().compute_dtype == "float16":
        return keras.mixed_precision.LossScaleOptimizer(found)
    return found


def _plain(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _state_of(optimizer: keras.optimizers.Optimizer) -> Sequence:
    variables: Any = optimizer.variables  # a method in some versions, a list in others
    found: Any = variables() if callable(variables) else variables
    return found


def _scaled(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    scale = getattr(optimizer, "get_scaled_loss", None)
    return scale(loss) if scale else loss


def _unscaled(optimizer: keras.optimizers.Optimizer, gradients: list) -> list:
    unscale = getattr(optimizer, "get_unscaled_gradients", None)
    return unscale(gradients) if unscale else gradients
