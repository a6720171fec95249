"""Transfer: scikit-learn's own logistic regression, from strong to weak, until the plateau."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermtrain.history import History, Phase
from dermtrain.transfer import STRENGTHS, Head, train_head
from dermtrain.truth import Truth

TRAIN, VAL = np.arange(160), np.arange(160, 240)


def _pooled(classes: int) -> tuple[np.ndarray, Truth]:
    """Two views of 240 rows with 12 channels of very different scales; classes unequally many.

    What disturbs all channels of a row alike hides the classes from a strongly regularised head.
    """
    random = np.random.default_rng(classes)
    labels = np.minimum(random.geometric(0.55, 240) - 1, classes - 1)
    centres = random.normal(0, 0.8, (classes, 12))
    views = centres[labels] + random.normal(0, 1, (2, 240, 12)) + random.normal(0, 3, (2, 240, 1))
    return views * np.geomspace(0.01, 100, 12) + 3, Truth(labels, tuple(range(1, classes)))


def _solve(
    classes: int, patience: int = 3, simplest: bool = False
) -> tuple[np.ndarray, Truth, Head, Phase, History]:
    pooled, truth = _pooled(classes)
    history = History()
    phase = history.phase("transfer", patience)
    views, watched = list(pooled[:, TRAIN]), pooled[0, VAL]
    head = train_head(views, watched, truth.of(TRAIN), truth.of(VAL), phase, simplest)
    return pooled, truth, head, phase, history


@pytest.fixture(scope="module", params=[2, 3], ids=["two classes", "three classes"])
def solved(request: pytest.FixtureRequest) -> tuple:
    return _solve(request.param)


def test_head_is_the_logistic_regression_of_the_chosen_strength(solved: tuple) -> None:
    pooled, truth, head, phase, history = solved
    strength = history.entries[phase.best].learning_rate
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)
    ).fit(np.concatenate(pooled[:, TRAIN]), np.tile(truth.labels[TRAIN], 2))
    logits = head.logits(pooled[0])
    expected = reference.decision_function(pooled[0])
    if expected.ndim == 1:
        logits, expected = logits[:, 1] - logits[:, 0], expected
    else:  # a softmax does not feel a common shift
        logits, expected = (x - x.mean(axis=1, keepdims=True) for x in (logits, expected))
    np.testing.assert_allclose(logits, expected, atol=0.02 * np.abs(expected).max())


def test_steps_go_from_strong_to_weak_and_end_at_the_plateau(solved: tuple) -> None:
    *_, phase, history = solved
    steps = [entry.learning_rate for entry in history.entries]
    assert steps == list(STRENGTHS[: len(steps)])
    assert list(STRENGTHS) == sorted(STRENGTHS)
    assert len(steps) == min(phase.best + 1 + phase.patience, len(STRENGTHS))


def test_entries_are_the_figures_of_scikit_learn(solved: tuple) -> None:
    pooled, truth, head, phase, history = solved
    entry = history.entries[phase.best]
    powers = np.exp(head.logits(pooled[0]))
    chances = powers / powers.sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth.is_positive[VAL], 1 - chances[VAL, 0])
    assert entry.val_auc == pytest.approx(expected, abs=1e-9)
    for rows, loss in ((TRAIN, entry.loss), (VAL, entry.val_loss)):
        labels = truth.labels[rows]
        weights = 1 / np.bincount(labels)[labels]
        assert loss == pytest.approx(log_loss(labels, chances[rows], sample_weight=weights))


def test_impatience_ends_sooner() -> None:
    assert len(_solve(2, patience=1)[-1].entries) < len(_solve(2, patience=4)[-1].entries)


@pytest.mark.parametrize("classes", [2, 3])
def test_simplest_head_is_the_first_within_one_standard_error_of_the_best(classes: int) -> None:
    pooled, truth, best, phase, history = _solve(classes)
    *_, simplest, _, again = _solve(classes, simplest=True)
    assert [entry.val_auc for entry in again.entries] == [e.val_auc for e in history.entries]
    val = truth.of(VAL)
    drawn = np.random.default_rng(0).integers(0, len(VAL), (500, len(VAL)))
    logits = best.logits(pooled[0, VAL])
    error = np.std([val.of(rows).auc(logits[rows]) for rows in drawn])  # by the bootstrap
    found = val.auc(simplest.logits(pooled[0, VAL]))
    aucs = [entry.val_auc for entry in history.entries]
    first = aucs.index(found)
    assert first < phase.best
    assert aucs[phase.best] - found <= 1.2 * error
    assert all(aucs[phase.best] - auc > 0.8 * error for auc in aucs[:first])


def test_truth_of_some_rows_is_about_those_rows() -> None:
    truth = Truth(np.array([0, 1, 2, 1]), (1, 2))
    np.testing.assert_array_equal(truth.is_positive, [False, True, True, True])
    np.testing.assert_array_equal(truth.of(np.array([2, 0])).is_positive, [True, False])
