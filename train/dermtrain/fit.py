"""The phases in order: weights, gentle start, transfer, fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras as keras

from dermedge.progress import Progress, silent
from dermtrain import backbone, warmstart, weights
from dermtrain.dataset import Pixels
from dermtrain.features import extract, predict
from dermtrain.finetune import Photographs, finetune
from dermtrain.history import History
from dermtrain.recipe import Recipe
from dermtrain.transfer import train_head
from dermtrain.truth import Truth

_ADAPTED_ON = 256  # photographs from which the statistics of new BN layers are taken


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, and where its net was cut while it trained."""

    model: keras.Model
    weights: weights.Filled
    boundary: str


def start(size: int, classes: int, source: str, stage: str, seed: int) -> Fitted:
    """Build the model, fill its weights and find the freeze boundary, before any data are read.

    The boundary lies below `stage`, or deeper if layers start at random further down: only what was
    filled may stay frozen.

    Raises:
        MissingError, InputError: The weights can't be had; see `weights.fill`.
    """
    keras.utils.set_random_seed(seed)
    model = backbone.build(size, classes)
    filled = weights.fill(model, source)
    random = _random_stages(filled)
    order = ["conv1", *backbone.STAGES]
    lowest = min([stage, *random], key=order.index)
    return Fitted(model, filled, backbone.boundary_below(model, lowest))


def fit(
    fitted: Fitted,
    pixels: Pixels,
    truth: Truth,
    recipe: Recipe,
    seed: int,
    cache: Path,
    history: History,
    progress: Progress = silent,
) -> None:
    """Train the model in place: the head on the frozen base, then what the recipe unfreezes."""
    model, boundary = fitted.model, fitted.boundary
    train, val = pixels.rows("train"), pixels.rows("val")
    features = extract(model, boundary, pixels, recipe.views, cache, progress)

    random = _random_stages(fitted.weights)
    if random and "conv1" not in random:  # new stages stand on learnt ones
        warmstart.open_stages(model, random)
    to_top = backbone.above(model, boundary, backbone.TOP)
    some = np.random.default_rng(seed).permutation(train)[:_ADAPTED_ON]
    warmstart.adapt_batch_norm(to_top, random, features, np.sort(some))

    pool = keras.Model(to_top.input, keras.layers.GlobalAveragePooling2D()(to_top.output))
    rows = np.arange(len(truth.labels))
    pooled = np.stack([predict(pool, features, rows, view) for view in range(recipe.views)])
    head = train_head(pooled, truth, train, val, history.phase("transfer", recipe.patience))
    warmstart.set_head(model, head.weights, head.bias)

    if recipe.epochs:
        tail = backbone.above(model, boundary)
        seen = Photographs(features, truth, train, val)
        finetune(tail, seen, recipe, seed, history.phase("finetune", recipe.patience), progress)
    warmstart.shift_to_prior(model, truth.labels[train])


def _random_stages(filled: weights.Filled) -> list[str]:
    """Stages of the base in which a layer starts at random, lowest first."""
    stages = {backbone.stage_of(name) for name in filled.random}
    return [stage for stage in ("conv1", *backbone.STAGES) if stage in stages]
