"""Figures of kit evaluate against scikit-learn, isic-challenge-scoring and published cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isic_challenge_scoring import metrics as isic
from sklearn import metrics as sk

from dermedge import delong
from dermedge.metrics import calibration_error
from dermedge.table import Row, Table
from dermtrain.evaluation import benefit, binary, operating, probability, ranking, resample
from dermtrain.evaluation.sample import Sample, weigh

# Scores of few values, so that ties are common; both classes are there.
CASES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 3)), min_size=4, max_size=60
).filter(lambda rows: len({label for label, _, weight in rows if weight}) == 2)


def arrays(rows: list[tuple[bool, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    return labels, scores / 12, weights.astype(float)


def simulated(n: int, seed: int = 0, gap: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.3
    return labels, 1 / (1 + np.exp(1 - gap * labels - random.normal(0, 1, n)))


@given(rows=CASES)
def test_ranking_is_scikit_learns_under_any_weights(rows: list[tuple[bool, int, int]]) -> None:
    labels, scores, weights = arrays(rows)
    found = weigh(labels, scores, weights[None])
    expected = {
        ranking.auc: sk.roc_auc_score(labels, scores, sample_weight=weights),
        ranking.average_precision: sk.average_precision_score(
            labels, scores, sample_weight=weights
        ),
        lambda s: ranking.mcclish(s, 0.2): sk.roc_auc_score(
            labels, scores, sample_weight=weights, max_fpr=0.2
        ),
    }
    for formula, value in expected.items():
        assert formula(found)[0] == pytest.approx(value, abs=1e-9)


@given(rows=CASES)
def test_area_beyond_80_sensitivity_is_that_of_isic_challenge_scoring(
    rows: list[tuple[bool, int, int]],
) -> None:
    labels, scores, weights = arrays(rows)
    truth, said, given_weights = (pd.Series(a) for a in (labels.astype(float), scores, weights))
    expected = isic.auc_above_sensitivity(truth, said, given_weights, 0.8)
    found = weigh(labels, scores, weights[None])
    assert ranking.area_beyond(found, 0.8)[0] == pytest.approx(expected, abs=1e-9)


@given(rows=CASES)
def test_partial_area_of_isic_2024_is_scikit_learns_with_the_classes_exchanged(
    rows: list[tuple[bool, int, int]],
) -> None:
    labels, scores, weights = arrays(rows)
    area = ranking.area_above(weigh(labels, scores, weights[None]), 0.8)[0]
    rescaled = (1 + (area - 0.02) / (0.2 - 0.02)) / 2  # McClish 1989
    exchanged = sk.roc_auc_score(~labels, -scores, sample_weight=weights, max_fpr=0.2)
    assert rescaled == pytest.approx(exchanged, abs=1e-9)
    assert 0 <= area <= 0.2 + 1e-12


@given(rows=CASES, goal=st.sampled_from([0.5, 0.82, 0.9, 0.95, 1.0]))
def test_operating_figures_are_the_best_points_of_scikit_learns_curve(
    rows: list[tuple[bool, int, int]], goal: float
) -> None:
    labels, scores, weights = arrays(rows)
    false, true, _ = sk.roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    found = weigh(labels, scores, weights[None])
    specific = (1 - false[true >= goal - 1e-9]).max()
    sensitive = true[1 - false >= goal - 1e-9].max()
    assert operating.specificity_at(found, goal)[0] == pytest.approx(specific, abs=1e-9)
    assert operating.sensitivity_at(found, goal)[0] == pytest.approx(sensitive, abs=1e-9)


@given(rows=CASES, threshold=st.floats(0, 1))
def test_balanced_accuracy_brier_and_log_loss_are_scikit_learns(
    rows: list[tuple[bool, int, int]], threshold: float
) -> None:
    labels, scores, weights = arrays(rows)
    found = weigh(labels, scores, weights[None])
    expected = sk.balanced_accuracy_score(labels, scores >= threshold, sample_weight=weights)
    assert operating.balanced_accuracy(found, threshold)[0] == pytest.approx(expected, abs=1e-9)
    brier = sk.brier_score_loss(labels, scores, sample_weight=weights)
    assert probability.brier(found)[0] == pytest.approx(brier, abs=1e-9)
    inner = np.clip(scores, 0.01, 0.99)
    loss = sk.log_loss(labels, inner, sample_weight=weights)
    assert probability.log_loss(weigh(labels, inner, weights[None]))[0] == pytest.approx(
        loss, abs=1e-9
    )


@given(rows=CASES)
def test_a_weight_is_as_good_as_so_many_copies(rows: list[tuple[bool, int, int]]) -> None:
    labels, scores, weights = arrays(rows)
    copies = np.repeat(np.arange(len(labels)), weights.astype(int))
    one, two = weigh(labels, scores, weights[None]), weigh(labels[copies], scores[copies])
    rule = binary.Rule(0.4, 0.1)
    for key, formula in binary.FORMULAS.items():
        if key != "ece":  # whose bins are those of the photographs without weights
            values = [formula.compute(s, rule)[0] for s in (one, two)]
            assert values[0] == pytest.approx(values[1], abs=1e-9, nan_ok=True), key


@given(rows=CASES)
def test_calibration_error_is_that_of_the_edge(rows: list[tuple[bool, int, int]]) -> None:
    labels, scores, _ = arrays(rows)
    found = probability.calibration_error(weigh(labels, scores))[0]
    assert found == pytest.approx(calibration_error(labels, scores), abs=1e-12)


def test_predictive_values_follow_bayes_and_stay_with_the_counts_at_their_own_prevalence() -> None:
    # A test with 90 % sensitivity and 80 % specificity, one in fifty positive: of 10,000, 200 are
    # positive: 180 are found, 20 missed; of 9,800 others 1,960 are called, 7,840 cleared.
    sensitive, specific = np.array([0.9]), np.array([0.8])
    positive = operating.positive_value(sensitive, specific, 0.02)[0]
    negative = operating.negative_value(sensitive, specific, 0.02)[0]
    assert positive == pytest.approx(180 / (180 + 1960), abs=1e-12)
    assert negative == pytest.approx(7840 / (7840 + 20), abs=1e-12)
    assert np.isnan(operating.positive_value(np.array([0.0]), np.array([1.0]), 0.02)[0])
    labels, scores = simulated(400)
    called = scores >= 0.5
    found = weigh(labels, scores)
    rates = operating.sensitivity(found, 0.5), operating.specificity(found, 0.5)
    own = operating.positive_value(*rates, float(labels.mean()))[0]
    assert own == pytest.approx(sk.precision_score(labels, called), abs=1e-12)


def test_decision_curve_is_the_published_one_of_a_family_history() -> None:
    # The R package dcurves, dca(cancer ~ famhistory) on its df_binary: of 750 men 105 have cancer,
    # 24 of these and 91 others have a family history.
    labels = np.arange(750) < 105
    history = np.zeros(750)
    history[:24] = history[105 : 105 + 91] = 1.0
    published = {
        0.01: (0.13131313131313133, 0.030774410774410774),
        0.05: (0.09473684210526317, 0.025614035087719297),
        0.14: (0.0, 0.012248062015503876),
        0.2: (-0.07499999999999998, 0.001666666666666667),
        0.5: (-0.72, -0.08933333333333333),
        0.9: (-7.600000000000002, -1.0600000000000003),
    }
    thresholds = np.array(list(published))
    model = benefit.net_benefit(weigh(labels, history), thresholds)[0]
    everyone = benefit.everyone(0.14, thresholds)
    expected = np.array(list(published.values()))
    np.testing.assert_allclose(everyone, expected[:, 0], atol=1e-9)
    np.testing.assert_allclose(model, expected[:, 1], atol=1e-9)


def test_decision_curve_at_the_sets_own_prevalence_is_the_plain_one() -> None:
    labels, scores = simulated(300)
    group = np.arange(300)
    plain = benefit.curve(labels, scores, group, None, 100, 0)
    stated = benefit.curve(labels, scores, group, float(labels.mean()), 100, 0)
    np.testing.assert_allclose(plain.model, stated.model, atol=1e-12)
    assert (plain.low <= plain.model).all()
    assert (plain.model <= plain.high).all()
    called = scores >= 0.25
    by_hand = (called & labels).mean() - (called & ~labels).mean() * 0.25 / 0.75
    place = int(np.flatnonzero(np.isclose(plain.thresholds, 0.25))[0])
    assert plain.model[place] == pytest.approx(by_hand, abs=1e-12)
    for low, high in plain.useful:
        inside = (plain.thresholds >= low) & (plain.thresholds <= high)
        assert (plain.model[inside] > np.maximum(plain.everyone[inside], 0)).all()


def test_probabilities_move_to_another_prevalence_as_the_classes_do() -> None:
    # Of two normal populations the posterior is known at every prevalence.
    x = np.linspace(-2, 3, 50)
    ratio = np.exp(x - 0.5)  # densities N(1, 1) over N(0, 1)

    def posterior(share: float) -> np.ndarray:
        return share * ratio / (share * ratio + 1 - share)

    np.testing.assert_allclose(
        benefit.moved(posterior(0.3), 0.3, 0.02), posterior(0.02), atol=1e-12
    )
    assert benefit.thresholds(0.02)[-1] == pytest.approx(0.06)
    assert benefit.thresholds(0.3)[-1] == pytest.approx(0.6)


def test_a_perfectly_calibrated_model_has_slope_1_and_the_error_that_chance_gives() -> None:
    random = np.random.default_rng(0)
    p = random.beta(1, 3, 20_000)
    labels = random.random(len(p)) < p
    fitted = probability.slope(labels, p)
    assert fitted == pytest.approx((0.0, 1.0), abs=0.08)
    mean, most = probability.error_by_chance(p, 0)
    assert probability.calibration_error(weigh(labels, p))[0] < 2 * most
    few, _ = probability.error_by_chance(p[:100], 0)
    assert few > 5 * mean


def test_too_sure_a_model_has_a_slope_below_1_and_separated_classes_have_none() -> None:
    labels, p = simulated(5000)
    logit = np.log(p / (1 - p))
    plain = probability.slope(labels, p)
    doubled = probability.slope(labels, 1 / (1 + np.exp(-2 * logit)))
    assert plain is not None
    assert doubled is not None
    assert doubled[1] == pytest.approx(plain[1] / 2, rel=1e-3)
    assert probability.slope(np.array([False, False, True]), np.array([0.1, 0.2, 0.9])) is None


def test_groups_are_patients_else_lesions_else_photographs() -> None:
    rows = [
        Row("a", "x", patient_id="1", lesion_id="7"),
        Row("b", "x", patient_id="1", lesion_id="8"),
        Row("c", "x", patient_id="2", lesion_id="7"),
        Row("d", "x", lesion_id="7"),
        Row("e", "x", lesion_id="7"),
        Row("f", "x"),
        Row("g", "x"),
    ]
    table = Table(Path("labels.csv"), Path(), tuple(rows))
    assert table.groups.tolist() == [0, 0, 1, 2, 2, 3, 4]


def test_photographs_of_one_group_are_drawn_together_and_as_many_groups_as_there_are() -> None:
    group = np.array([0, 0, 1, 2, 2, 2])
    weights = np.concatenate(list(resample.drawn(group, 50, 3)))
    assert weights.shape == (50, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    again = np.concatenate(list(resample.drawn(group, 50, 3)))
    np.testing.assert_array_equal(weights, again)


def test_bootstrap_of_independent_photographs_is_near_delong_and_clusters_widen_it() -> None:
    labels, scores = simulated(300, seed=4)
    rule = binary.Rule(0.5)
    alone = binary.measure(labels, scores, np.arange(300), rule, 1000, 0)
    exact = delong.auc_interval(labels, scores)
    found = alone.measures["auc"].interval
    assert found is not None
    assert found.value == pytest.approx(exact.value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.012)
    # Each photograph four times over: DeLong believes it, the groups do not.
    copies = np.repeat(np.arange(300), 4)
    tied = binary.measure(labels[copies], scores[copies], copies, rule, 1000, 0)
    wide, narrow = tied.measures["auc"].interval, tied.auc_delong.interval
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low == pytest.approx(found.high - found.low, rel=0.15)
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)


@settings(max_examples=25)
@given(rows=CASES)
def test_every_figure_has_an_interval_that_holds_it_or_says_why_not(
    rows: list[tuple[bool, int, int]],
) -> None:
    labels, scores, _ = arrays(rows)
    found = binary.measure(labels, scores, np.arange(len(labels)) // 2, binary.Rule(0.5), 40, 0)
    few = min(labels.sum(), (~labels).sum()) < binary.MINIMUM
    assert set(found.measures) == set(binary.FORMULAS)
    for one in (*found.measures.values(), found.auc_delong):
        if one.interval is None:
            assert one.why.startswith("not evaluated")
        else:
            assert not one.why
            assert one.interval.low <= one.interval.value <= one.interval.high
            assert np.isfinite([one.interval.low, one.interval.high]).all()
    assert (found.measures["auc"].interval is None) == few


def test_one_class_alone_still_has_what_it_can_have() -> None:
    positives = np.ones(30, np.bool_)
    found = binary.measure(
        positives, np.linspace(0.2, 0.9, 30), np.arange(30), binary.Rule(0.5), 200, 0
    )
    sensitive = found.measures["sensitivity"].interval
    assert sensitive is not None
    assert sensitive.low < sensitive.value < sensitive.high
    assert found.measures["specificity"].why == "not evaluated: 0 negative, at least 10 needed"
    assert found.measures["auc"].interval is None
    assert found.measures["brier"].interval is not None


def test_nothing_missed_is_not_known_for_sure() -> None:
    labels = np.arange(40) < 15
    given = np.where(labels, 0.9, 0.0)
    found = binary.measure(labels, given, np.arange(40), binary.Rule(0.5), 200, 0)
    sensitive = found.measures["sensitivity"].interval
    assert sensitive is not None
    assert (sensitive.value, sensitive.method) == (1.0, "Wilson")
    assert sensitive.low < 0.85


def test_a_threshold_counts_what_reaches_it() -> None:
    labels = np.array([True, True, False, False, False])
    scores = np.array([0.5, 0.4, 0.5, 0.4, 0.1])
    found = operating.point("sensitivity>=0.90", 0.5, labels, scores)
    counts = (
        *(found.true_positive, found.false_negative, found.false_positive, found.true_negative),
    )
    assert counts == (1, 1, 1, 2)
    assert found.sensitivity.value == 0.5
    assert found.referred.value == 0.4
    both = weigh(labels, scores)
    assert isinstance(both, Sample)
    assert [float(part[0]) for part in both.reached(0.5)] == [1.0, 1.0]
