"""The phases in order: weights, gentle start, head, then what the recipe unfreezes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge.progress import Progress, silent
from dermtrain import backbone, checkpoint, recipe, unfreezing, warmstart, weights
from dermtrain.checkpoint import Checkpoint
from dermtrain.dataset import Pixels
from dermtrain.devices import Devices
from dermtrain.features import Source, extract, predict
from dermtrain.finetune import Descent, Seen, State, finetune
from dermtrain.history import History
from dermtrain.recipe import Phase, Recipe
from dermtrain.store import Store
from dermtrain.transfer import train_head
from dermtrain.truth import Truth
from dermtrain.views import Views

_ADAPTED_ON = 256  # photographs from which the statistics of new BN layers are taken


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model in training: its net, where its weights came from, and on which devices it lives."""

    model: keras.Model
    weights: weights.Filled
    devices: Devices


@dataclass(frozen=True, slots=True)
class Material:
    """What is learnt from: photographs, what their labels say, and where features are kept."""

    pixels: Pixels
    truth: Truth
    store: Store


def start(classes: int, source: str, how: Recipe, devices: Devices, seed: int) -> Fitted:
    """Build the model and fill its weights, before any data are read.

    Raises:
        MissingError, InputError: The weights can't be had, see `weights.fill`; the devices can't
            share a batch; or the recipe unfreezes too early, see `unfreezing.check`.
    """
    devices.check(how.batch)
    keras.utils.set_random_seed(seed)
    with devices.strategy.scope():
        model = backbone.build(None, classes)
    filled = weights.fill(model, source)
    unfreezing.check(how, unfreezing.random_stages(filled))
    for phase in how.phase:
        backbone.boundary_below(model, phase.train)
    return Fitted(model, filled, devices)


def fit(
    fitted: Fitted,
    material: Material,
    how: Recipe,
    seed: int,
    history: History,
    saved: Path | None = None,
    resume: bool = False,
    note: Callable[[str], None] = lambda line: None,
    progress: Progress = silent,
) -> None:
    """Train the model in place: the head on the frozen base, then what the recipe unfreezes.

    Args:
        fitted: From `start`.
        material: What is learnt from.
        how: The recipe.
        seed: Of views and order.
        history: Takes the epochs.
        saved: Where a checkpoint is written after each epoch.
        resume: Whether to go on from the checkpoint, if there is one.
        note: Told what the reader should know, a line each.
        progress: Told of the steps.
    """
    course = _Course(fitted, material, how, seed, history, saved, progress)
    state = course.resume() if resume else None
    if state is None:
        course.head()
    first, at = (state.phase, state) if state else (1, None)
    for number, phase in enumerate(how.phase):
        if number >= first and phase.epochs:
            course.unfreeze(number, phase, at if number == first else None)
            if not course.plateau(phase) and any(p.epochs for p in how.phase[number + 1 :]):
                note(unfreezing.early(phase))
    train = material.truth.labels[material.pixels.rows("train")]
    if how.phase[-1].balance != "none":
        warmstart.shift_to_prior(fitted.model, train)


def finished(fitted: Fitted, size: int) -> keras.Model:
    """The net as it will be used: of one size, in float32, on one device."""
    keras.mixed_precision.set_global_policy("float32")
    model = backbone.build(size, int(fitted.model.output_shape[-1]))
    model.set_weights(fitted.model.get_weights())
    return model


class _Course:
    """The phases at work: what they share."""

    def __init__(
        self,
        fitted: Fitted,
        material: Material,
        how: Recipe,
        seed: int,
        history: History,
        saved: Path | None,
        progress: Progress,
    ) -> None:
        self.model, self.fitted, self.material = fitted.model, fitted, material
        self.how, self.seed, self.history = how, seed, history
        self.saved, self.progress = saved, progress
        self.train, self.val = material.pixels.rows("train"), material.pixels.rows("val")
        side = round(how.crop * material.pixels.values.shape[1]) or how.augment.side
        self.views = Views(material.pixels, replace(how.augment, side=side), seed)

    def resume(self) -> Checkpoint | None:
        """Take over an interrupted run's weights and history, if there is a checkpoint."""
        state = checkpoint.load(self.saved) if self.saved else None
        if state is None:
            return None
        unfreezing.check_data(state.data, self.material.pixels.key)
        self.history.resume(state.entries)
        checkpoint.restore(self.model.weights, state.model)
        return state

    def head(self) -> None:
        """Open what starts at random so that it disturbs nothing, and solve the head."""
        phase, model, truth = self.how.phase[0], self.model, self.material.truth
        random = unfreezing.random_stages(self.fitted.weights)
        boundary = backbone.boundary_below(model, self._lowest(random))
        plain = self.features(boundary, 0, self.train)
        if phase.epochs and random and "conv1" not in random:  # new stages stand on learnt ones
            warmstart.open_stages(model, random)
        to_top = backbone.above(model, boundary, backbone.TOP)
        if random:
            some = np.random.default_rng(self.seed).permutation(self.train)[:_ADAPTED_ON]
            warmstart.adapt_batch_norm(to_top, random, plain, np.sort(some))
        if not phase.epochs:
            return
        pool = keras.Model(to_top.input, keras.layers.GlobalAveragePooling2D()(to_top.output))
        views = [self.features(boundary, view, self.train) for view in range(phase.views)]
        head = train_head(
            [predict(pool, view, self.train) for view in views],
            predict(pool, self.features(boundary, 0, self.val), self.val),
            truth.of(self.train),
            truth.of(self.val),
            self.history.phase(phase.name, phase.patience),
            simplest=phase.keep == "simplest",
        )
        warmstart.set_head(model, head.weights, head.bias)
        self.save(Checkpoint(self.material.pixels.key, phase=1))

    def unfreeze(self, number: int, phase: Phase, at: Checkpoint | None) -> None:
        """One phase of gradient descent, from its start or from a checkpoint inside of it."""
        boundary = backbone.boundary_below(self.model, phase.train)
        cached = phase.source == "cache"
        views = range(phase.views if cached else 0)
        seen = Seen(
            sources=[self.features(boundary, view, self.train) for view in views],
            fresh=None if cached else self.views,
            watched=self.features(boundary, 0, self.val),
            truth=self.material.truth,
            train=self.train,
            val=self.val,
        )
        descent = Descent(self.model, boundary, phase, self.how, self.fitted.devices)
        watch = self.history.phase(phase.name, phase.patience)
        state = State(at.epoch, at.slowed, at.optimizer, at.best) if at else State()
        if at:
            watch.wait(at.waited)

        def save(state: State) -> None:
            self.save(
                Checkpoint(
                    self.material.pixels.key,
                    *(number, state.epoch, watch.waited, state.slowed),
                    optimizer=state.optimizer,
                    best=state.best,
                )
            )

        finetune(descent, seen, (self.seed, number), watch, state, save, self.progress)
        self.save(Checkpoint(self.material.pixels.key, phase=number + 1))

    def save(self, state: Checkpoint) -> None:
        """Add the net and the history to a checkpoint, and write it."""
        # All machines read: what batch normalisation has counted is added up over them.
        model = [v.numpy() for v in self.model.weights]
        if self.saved and self.fitted.devices.chief:
            checkpoint.save(
                self.saved, replace(state, entries=tuple(self.history.entries), model=model)
            )

    def plateau(self, phase: Phase) -> bool:
        """Whether a phase's validation AUC had stopped gaining when it ended."""
        return self.history.phase(phase.name, phase.patience).plateau

    def features(self, boundary: str, view: int, rows: npt.NDArray[np.int64]) -> Source:
        """One view's features at a boundary, from the store or computed."""
        store = self.material.store
        return extract(self.model, boundary, self.views, view, rows, store, self.progress)

    def _lowest(self, random: list[str]) -> str:
        """The lowest part that the next phases train or that starts at random.

        The head is solved on features cached at the boundary that the second phase needs, if both
        can share them.
        """
        parts = [*random, *(p.train for p in self.how.phase[1:2] if p.source == "cache")]
        return min([recipe.HEAD, *parts], key=recipe.depth)
