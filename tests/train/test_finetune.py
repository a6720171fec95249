"""Fine-tuning: only what is told moves, the kept epoch stays, and the rate follows its schedule."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermtrain import backbone, devices, finetune, weights
from dermtrain.features import predict
from dermtrain.feed import Feed, Order
from dermtrain.finetune import Descent, Seen, State
from dermtrain.history import Entry, History
from dermtrain.history import Phase as Watch
from dermtrain.recipe import Phase, Recipe
from dermtrain.truth import Truth

pytestmark = pytest.mark.tensorflow

RECIPE = Recipe("t", batch=16, weight_decay=0.0)
PHASE = Phase("p", train="conv5", epochs=6, learning_rate=0.05, warmup=0.0)


def _seen(channels: int, rows: int = 96) -> Seen:
    """Features of which some channels lean on the label, two views."""
    random = np.random.default_rng(0)
    labels = (random.random(rows) < 0.4).astype(np.int64)
    labels[:2], labels[-2:] = (0, 1), (0, 1)
    lean = random.normal(0, 0.3, channels) * (labels[:, None] - 0.5)
    views = random.normal(lean[None, :, None, None], 1, (2, rows, 4, 4, channels))
    cut = rows * 2 // 3
    sources = [view.astype(np.float16) for view in views]
    truth = Truth(labels, (1,))
    return Seen(sources, None, sources[0], truth, np.arange(cut), np.arange(cut, rows))


def _net(channels: int) -> keras.Model:
    """A net so small that many epochs take no time, cut at the layer `cut`."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((4, 4, channels), name="pixels")
    cut = keras.layers.Activation("linear", name="cut")(pixels)
    scores = keras.layers.Conv2D(2, 1, name="head")(cut)
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="logits")(scores))


def _run(
    phase: Phase, seed: int = 0, recipe: Recipe = RECIPE
) -> tuple[Descent, Watch, list[tuple[Entry, list]]]:
    """Train a small net: also the entries, each with the weights it was measured on."""
    descent = Descent(_net(6), "cut", phase, recipe, devices.find("float32"))
    steps: list[tuple[Entry, list]] = []
    watch = History(lambda entry: steps.append((entry, descent.weights()))).phase(
        phase.name, phase.patience
    )
    finetune.finetune(descent, _seen(6), (seed,), watch, State())
    return descent, watch, steps


@pytest.mark.parametrize("rate", [1e-4, 0.05, 1.0])
def test_ends_with_the_weights_of_the_best_epoch_never_worse_than_the_start(rate: float) -> None:
    descent, watch, steps = _run(replace(PHASE, learning_rate=rate))
    aucs = [entry.val_auc for entry, _ in steps]
    assert watch.best == aucs.index(max(aucs))
    np.testing.assert_equal(descent.weights(), steps[watch.best][1])


def test_or_with_those_of_the_last_if_told() -> None:
    descent, _, steps = _run(replace(PHASE, keep="last", learning_rate=1.0, patience=99))
    assert len(steps) == 7
    np.testing.assert_equal(descent.weights(), steps[-1][1])


def test_learns_from_the_training_rows() -> None:
    *_, steps = _run(replace(PHASE, epochs=8, patience=8))
    losses = [entry.loss for entry, _ in steps]
    assert np.isnan(losses[0])  # the start, before any step
    assert losses[-1] < 0.8 * losses[1]


def test_rate_falls_tenfold_at_the_first_plateau_and_the_second_is_the_end() -> None:
    # Steps far too small to change any ranking: nothing ever gains.
    *_, steps = _run(replace(PHASE, epochs=50, learning_rate=1e-9))
    rates = [entry.learning_rate for entry, _ in steps]
    np.testing.assert_allclose(rates, [1e-9] * 3 + [1e-10] * 2, rtol=1e-5)


def test_cosine_rises_in_the_warm_up_and_falls_to_nothing() -> None:
    phase = replace(PHASE, schedule="cosine", warmup=1.0, epochs=5, patience=99)
    rates = [finetune._rate(phase, State(), at, 0.25) for at in np.arange(0, 5, 0.25)]
    np.testing.assert_allclose(rates[:4], 0.05 * np.array([0.25, 0.5, 0.75, 1.0]))
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 <= rates[-1] < 0.05 * 0.02


def test_weight_average_is_what_is_validated_and_kept() -> None:
    phase = replace(PHASE, average=0.9, keep="last", epochs=1)
    descent, _, steps = _run(phase)
    # By hand: the same steps without an average, averaged afterwards.
    plain = Descent(_net(6), "cut", replace(phase, average=0.0), RECIPE, devices.find("float32"))
    average = plain.weights()
    seen, feed = _seen(6), Feed(Order(_seen(6).train, _seen(6).truth.labels, 16, "weights"))
    weight = finetune._class_weights(seen.truth, seen.train, "weights")
    for rows, x in feed.cached(seen.sources, (0, 0)):
        given = weight[seen.truth.labels[rows]]
        plain.step(x, seen.truth.labels[rows], (given / given.sum()).astype(np.float32))
        average = [0.9 * a + 0.1 * w for a, w in zip(average, plain.weights(), strict=True)]
    for found, expected in zip(descent.weights(), average, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_equal(descent.weights(), steps[-1][1])


def test_same_seed_gives_the_same_steps_and_another_seed_others() -> None:
    first, again, other = (
        [str(replace(entry, seconds=0.0, idle=0.0)) for entry, _ in _run(PHASE, seed)[-1]]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("balance", ["draw", "weights"])
def test_classes_count_the_same_however_few_photographs_they_have(balance: str) -> None:
    # Features that say nothing: balanced learning ends at equal logits, plain learning at 9 to 1.
    net, rows = _net(2), np.arange(90)
    blank = np.zeros((90, 4, 4, 2), np.float16)
    seen = Seen([blank], None, blank, Truth(np.repeat([0, 1], [81, 9]), (1,)), rows, rows)
    phase = replace(PHASE, balance=balance, epochs=60, patience=99, keep="last")
    descent = Descent(net, "cut", phase, replace(RECIPE, batch=90), devices.find("float32"))
    descent.tail.set_weights([descent.tail.get_weights()[0], np.array([1.0, -1.0])])
    finetune.finetune(descent, seen, (0,), History().phase("p", 99), State())
    logits = predict(descent.tail, blank, rows[:1])[0]
    np.testing.assert_allclose(logits[0], logits[1], atol=0.1)


@pytest.mark.parametrize(
    ("part", "bn"), [("conv5", "affine"), ("conv5", "frozen"), ("conv4_block6", "adapt")]
)
def test_what_lies_below_does_not_move_and_batch_norm_only_as_told(
    weight_file: Path, part: str, bn: str
) -> None:
    keras.utils.set_random_seed(0)
    model = backbone.build(64, 2)
    weights.fill(model, str(weight_file))
    before = {layer.name: layer.get_weights() for layer in model.layers}
    boundary = backbone.boundary_below(model, part)
    seen = _seen(1024, rows=24)
    seen = replace(seen, train=np.arange(24), val=np.arange(24))
    phase = replace(PHASE, train=part, bn=bn, epochs=1, learning_rate=1e-3, keep="last")
    descent = Descent(model, boundary, phase, replace(RECIPE, batch=12), devices.find("float32"))
    finetune.finetune(descent, seen, (0,), History().phase("p", 3), State())
    moving = {layer.name for layer in descent.tail.layers}
    assert boundary in {"conv4_block6_out", "conv4_block5_out"}
    for layer in model.layers:
        found = layer.get_weights()
        if layer.name not in moving:
            np.testing.assert_equal(found, before[layer.name])
        elif isinstance(layer, keras.layers.BatchNormalization):
            affine = [
                not np.array_equal(a, b) for a, b in zip(found, before[layer.name], strict=True)
            ]
            assert affine[1] == (bn != "frozen")
            assert affine[2:] == [bn == "adapt"] * 2
        elif found:
            assert not np.array_equal(found[0], before[layer.name][0])
