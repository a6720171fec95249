"""Fine-tuning: only the tail moves, the best epoch stays, and the rate falls at a plateau."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermedge import metrics
from dermtrain import backbone, weights
from dermtrain.features import Features, predict
from dermtrain.finetune import Photographs, finetune
from dermtrain.history import Entry, History, Phase
from dermtrain.recipe import Recipe
from dermtrain.truth import Truth

pytestmark = pytest.mark.tensorflow

RECIPE = Recipe("t", epochs=6, learning_rate=0.05, batch=16, patience=2, label_smoothing=0.0)


def _photographs(channels: int, rows: int = 96) -> Photographs:
    """Features of which some channels lean on the label, two views."""
    random = np.random.default_rng(0)
    labels = (random.random(rows) < 0.4).astype(np.int64)
    labels[:2], labels[-2:] = (0, 1), (0, 1)
    lean = random.normal(0, 0.3, channels) * (labels[:, None] - 0.5)
    values = random.normal(lean[None, :, None, None], 1, (2, rows, 4, 4, channels))
    cut = rows * 2 // 3
    features = Features(values.astype(np.float16), 2)
    return Photographs(features, Truth(labels, (1,)), np.arange(cut), np.arange(cut, rows))


def _tail(channels: int, classes: int = 2) -> keras.Model:
    """A tail so small that many epochs take no time."""
    keras.utils.set_random_seed(1)
    boundary = keras.Input((4, 4, channels))
    scores = keras.layers.Conv2D(classes, 1)(boundary)
    return keras.Model(boundary, keras.layers.GlobalAveragePooling2D()(scores))


def _run(recipe: Recipe, seed: int = 0) -> tuple[keras.Model, Photographs, Phase, list]:
    """Fine-tune a small tail: also the entries, each with the weights it was measured on."""
    tail, seen, steps = _tail(6), _photographs(6), []

    def listen(entry: Entry) -> None:
        steps.append((entry, tail.get_weights()))

    phase = History(listen).phase("finetune", recipe.patience)
    finetune(tail, seen, recipe, seed, phase)
    return tail, seen, phase, steps


@pytest.mark.parametrize("rate", [1e-4, 0.05, 1.0])
def test_ends_with_the_weights_of_the_best_epoch_never_worse_than_the_start(rate: float) -> None:
    tail, seen, phase, steps = _run(replace(RECIPE, learning_rate=rate))
    aucs = [entry.val_auc for entry, _ in steps]
    assert phase.best == aucs.index(max(aucs))
    np.testing.assert_equal(tail.get_weights(), steps[phase.best][1])
    logits = predict(tail, seen.features, seen.val)
    found = metrics.auc(seen.truth.is_positive[seen.val], logits[:, 1] - logits[:, 0])
    assert found == pytest.approx(max(aucs), abs=1e-6)
    assert found >= aucs[0]


def test_learns_from_the_training_rows() -> None:
    *_, steps = _run(replace(RECIPE, epochs=8, patience=8))
    losses = [entry.loss for entry, _ in steps]
    assert np.isnan(losses[0])  # the start, before any step
    assert losses[-1] < 0.8 * losses[1]
    assert len(steps) == 9


def test_rate_falls_tenfold_at_the_first_plateau_and_the_second_is_the_end() -> None:
    # Steps far too small to change any ranking: nothing ever gains.
    *_, steps = _run(replace(RECIPE, epochs=50, learning_rate=1e-9, patience=2))
    rates = [entry.learning_rate for entry, _ in steps]
    np.testing.assert_allclose(rates, [1e-9] * 3 + [1e-10] * 2, rtol=1e-5)


def test_goes_on_from_the_best_weights_at_the_lower_rate() -> None:
    *_, steps = _run(replace(RECIPE, epochs=40, learning_rate=1.0, patience=1))
    rates = [entry.learning_rate for entry, _ in steps]
    first_slow = next(i for i, rate in enumerate(rates) if rate < 0.5)
    best_before = int(np.argmax([entry.val_auc for entry, _ in steps[:first_slow]]))
    moved = np.concatenate(
        [(a - b).ravel() for a, b in zip(steps[first_slow][1], steps[best_before][1], strict=True)]
    )
    # In each of four steps Adam moves a weight by at most 3.2 times the rate (Kingma & Ba 2015).
    assert np.abs(moved).max() <= 4 * 0.1 * 3.2
    assert best_before < first_slow - 1  # the last epoch at the high rate was not the best one


def test_same_seed_gives_the_same_steps_and_another_seed_others() -> None:
    first, again, other = (
        [str(replace(entry, seconds=0.0)) for entry, _ in _run(RECIPE, seed)[-1]]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_classes_weigh_the_same_however_few_photographs_they_have() -> None:
    # Features that say nothing: balanced learning ends at equal logits, plain learning at 9 to 1.
    tail, rows = _tail(2), np.arange(90)
    blank = Features(np.zeros((1, 90, 4, 4, 2), np.float16), 1)
    seen = Photographs(blank, Truth(np.repeat([0, 1], [81, 9]), (1,)), rows, rows)
    last: list[np.ndarray] = []
    phase = History(lambda entry: last.append(predict(tail, blank, rows[:1])[0])).phase("f", 99)
    tail.set_weights([tail.get_weights()[0], np.array([1.0, -1.0])])
    recipe = replace(RECIPE, batch=90, epochs=60)
    finetune(tail, seen, recipe, 0, phase)
    np.testing.assert_allclose(last[-1][0], last[-1][1], atol=0.1)


def test_below_the_boundary_nothing_moves_and_above_it_all_but_the_statistics(
    weight_file: Path,
) -> None:
    keras.utils.set_random_seed(0)
    model = backbone.build(64, 2)
    weights.fill(model, str(weight_file))
    before = {layer.name: layer.get_weights() for layer in model.layers}
    seen = _photographs(1024, rows=24)
    seen = replace(seen, train=np.arange(24), val=np.arange(24))
    recipe = replace(RECIPE, epochs=3, patience=3, learning_rate=1e-4, batch=12)
    phase = History().phase("finetune", 3)
    finetune(backbone.above(model, "conv4_block6_out"), seen, recipe, 0, phase)
    assert phase.best > 0
    for layer in model.layers:
        found = layer.get_weights()
        if backbone.stage_of(layer.name) not in ("conv5", "head"):
            np.testing.assert_equal(found, before[layer.name])
        elif isinstance(layer, keras.layers.BatchNormalization):
            assert not np.array_equal(found[1], before[layer.name][1])
            np.testing.assert_equal(found[2:], before[layer.name][2:])
        elif found:
            assert not np.array_equal(found[0], before[layer.name][0])
