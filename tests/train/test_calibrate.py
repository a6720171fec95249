"""Calibration: a known temperature is found again, and thresholds keep their promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from dermedge.decide import positive_probability, probabilities
from dermtrain.calibrate import (
    CHOSEN_FOR,
    SENSITIVITIES,
    YOUDEN,
    apart,
    calibrate,
    fit_temperature,
    threshold_for,
    youden,
)
from dermtrain.truth import Truth

SCORES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=2, max_size=60
).filter(lambda pairs: len({positive for positive, _ in pairs}) == 2)


def _simulated(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with just the probabilities that they state."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, classes))
    chances = probabilities(logits, 1.0).cumsum(axis=1)
    return logits, (random.random((rows, 1)) > chances).sum(axis=1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_known_temperature_is_found_again(temperature: float, classes: int) -> None:
    logits, labels = _simulated(20_000, classes, seed=1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


@given(pairs=SCORES, sensitivity=st.sampled_from([*SENSITIVITIES, 0.5, 0.8, 1.0]))
def test_threshold_reaches_its_sensitivity_and_no_higher_one_does(
    pairs: list[tuple[bool, float]], sensitivity: float
) -> None:
    positive, probability = (np.array(values) for values in zip(*pairs, strict=True))
    threshold = threshold_for(positive, probability, sensitivity)
    cases = probability[positive]
    assert (cases >= threshold).mean() >= sensitivity
    assert (cases >= np.nextafter(threshold, 2)).mean() < sensitivity


@given(pairs=SCORES)
def test_a_threshold_moved_apart_from_all_scores_decides_as_before(
    pairs: list[tuple[bool, float]],
) -> None:
    scores = np.array([score for _, score in pairs])
    for threshold in scores:
        found = apart(scores, threshold)
        np.testing.assert_array_equal(scores >= found, scores >= threshold)
        assert (found not in scores) == (threshold > scores.min())
    assert apart(scores, 1.5) == 1.5


@given(pairs=SCORES)
def test_youdens_threshold_has_the_highest_balanced_accuracy(
    pairs: list[tuple[bool, float]],
) -> None:
    positive, probability = (np.array(values) for values in zip(*pairs, strict=True))
    found = youden(positive, probability)
    best = max(
        balanced_accuracy_score(positive, probability >= threshold)
        for threshold in [*probability, 1.0 + 1e-9]
    )
    assert 0 <= found <= 1
    reached = balanced_accuracy_score(positive, probability >= found)
    assert reached == pytest.approx(best) or best == 0.5


@pytest.mark.parametrize(("rows", "positive"), [(12, (1,)), (200, (1,)), (200, (0, 2))])
def test_frozen_rule_is_whole_and_its_band_holds_the_threshold(
    rows: int, positive: tuple[int, ...]
) -> None:
    logits, labels = _simulated(rows, 3, seed=2)
    truth = Truth(labels, positive)
    calibration, decision = calibrate(logits, truth, seed=0)
    assert set(decision.thresholds) == {"sensitivity>=0.90", "sensitivity>=0.95", YOUDEN}
    assert decision.chosen_for == CHOSEN_FOR
    low, high = decision.uncertain_band
    assert 0 <= low <= decision.threshold <= high <= 1
    probability = positive_probability(logits, calibration.temperature, positive)
    for goal in SENSITIVITIES:
        threshold = decision.thresholds[f"sensitivity>={goal:.2f}"]
        assert (probability[truth.is_positive] >= threshold).mean() >= goal
    assert calibrate(logits, truth, seed=0) == (calibration, decision)


def test_band_narrows_as_validation_grows() -> None:
    widths = []
    for rows in (40, 4000):
        logits, labels = _simulated(rows, 2, seed=3)
        low, high = calibrate(logits, Truth(labels, (1,)), seed=0)[1].uncertain_band
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
