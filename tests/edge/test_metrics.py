from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from dermedge import metrics
from dermedge.errors import InputError
from dermedge.intervals import Z, mover, newcombe, wilson

# The aneurysmal subarachnoid haemorrhage data of the R package pROC (Robin et al. 2011, BMC
# Bioinformatics 12:77) as its own tests publish them: DeLong's placements in the order of the rows,
# for 41 poor outcomes in 1/144 (tests/testthat/helper-deLongPlacementsCpp-expected.R, forward X)
# and for 72 good outcomes in 1/82 (forward Y).
POOR = {
    "ndka": "116 90 98 110 6 40 74 134 140 134 134 58 104 124 24 36 102 2 144 124 62 74 80 102 128"
    " 93 124 36 142 109 6 49 124 6 48 134 76 104 138 74 110",
    "wfns": "117 94 128 140 140 140 140 94 140 94 37 94 140 128 128 94 140 140 140 94 140 94 140 94"
    " 128 140 128 128 37 128 128 94 94 140 140 94 94 140 140 140 140",
    "s100b": "81 63 103 78 130 144 140 26 123 50 26 128 126 139 144 118 144 144 144 26 144 120 0 50"
    " 116 144 118 144 38 118 81 63 74 116 144 88 144 121 144 144 130",
}
GOOD = {
    "ndka": "82 68 72 58 74 33 74 26 42 26 28 6 66 74 48 74 74 2 46 62 62 26 80 72 74 63 44 72 34 8"
    " 72 74 48 66 72 44 16 18 60 50 4 74 28 62 58 58 34 80 28 48 66 58 26 58 50 72 62 58 16 68 48"
    " 45 8 52 48 66 16 60 38 18 74 42",
    "wfns": "80 80 80 80 18 80 66 66 80 66 66 80 80 80 66 80 66 80 80 53 44 80 44 80 18 18 80 80 66"
    " 44 80 80 66 66 80 66 80 66 66 80 80 80 80 66 80 66 80 80 53 66 44 66 80 44 80 80 18 44 66 66"
    " 80 80 80 53 80 66 66 44 44 80 80 80",
    "s100b": "58 55 66 80 28 52 66 66 80 73 80 70 63 77 52 77 63 58 52 80 53 55 36 70 24 28 53 77"
    " 32 28 63 73 70 73 80 58 66 55 54 80 80 70 80 70 73 53 70 73 37 63 42 77 66 39 77 80 48 34 66"
    " 54 73 55 66 77 80 52 54 28 52 54 24 27",
}
OUTCOME = np.array([True] * 41 + [False] * 72)
VARIANCE = {"wfns": 0.00146991470882363, "ndka": 0.0031908105493913, "s100b": 0.00266868245717244}
AUC = {"wfns": 0.823678861788618, "ndka": 0.611957994579946, "s100b": 0.731368563685637}
# roc.test(first, second), paired, of tests/testthat/test-roc.test.R: p value, interval.
PAIRED = {
    ("wfns", "s100b"): (0.0271757822291882, 0.0104061769564846, 0.174214419249478),
    ("wfns", "ndka"): (0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
    ("ndka", "s100b"): (0.164295175223054, -0.2876917446341914, 0.0488706064228094),
}

scores = st.lists(st.integers(0, 12), min_size=4, max_size=40)


def marker(name: str) -> np.ndarray:
    """Scores that are ordered as the marker is: all that AUC and DeLong look at."""
    poor = np.array(POOR[name].split(), float)  # twice the number of good outcomes below
    above = np.array(GOOD[name].split(), float)
    good = np.array([2 * np.sum(above > a) + np.sum(above == a) for a in above], float)
    return np.concatenate([poor, good])


def split(values: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Every second row is positive, so that both classes are there."""
    return np.arange(len(values)) % 2 == 0, np.array(values, float)


def by_definition(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple:
    """DeLong 1988, sections 2 and 3, word for word: the kernel of every pair, O(mn)."""

    def components(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = given[labels][:, None], given[~labels][None, :]
        kernel = (y < x) + 0.5 * (y == x)
        return kernel.mean(axis=1), kernel.mean(axis=0)

    (v10, v01), (w10, w01) = components(first), components(second)
    s10, s01 = np.cov(v10, w10), np.cov(v01, w01)
    covariance = s10 / len(v10) + s01 / len(v01)
    contrast = np.array([-1.0, 1.0])
    return v10.mean(), w10.mean(), covariance, float(contrast @ covariance @ contrast)


@pytest.mark.parametrize("name", sorted(AUC))
def test_auc_and_interval_of_the_published_example(name):
    found = metrics.auc_interval(OUTCOME, marker(name))
    assert found.method == "DeLong"
    assert found.value == pytest.approx(AUC[name], abs=1e-12)
    half = Z * VARIANCE[name] ** 0.5
    assert (found.low, found.high) == pytest.approx((AUC[name] - half, AUC[name] + half), abs=1e-9)


def test_interval_of_ndka_as_ci_auc_gives_it():
    found = metrics.auc_interval(OUTCOME, marker("ndka"))
    expected = (0.501244999271703, 0.611957994579946, 0.722670989888189)
    assert (found.low, found.value, found.high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("pair", sorted(PAIRED))
def test_paired_difference_of_the_published_example(pair):
    first, second = pair
    found = metrics.auc_difference(OUTCOME, marker(second), marker(first))
    expected = PAIRED[pair]
    assert found.p_value == pytest.approx(expected[0], rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(expected[1:], abs=1e-9)


@given(scores)
def test_auc_is_that_of_scikit_learn(values):
    labels, given_scores = split(values)
    expected = roc_auc_score(labels, given_scores)
    assert metrics.auc(labels, given_scores) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=8, max_size=40))
def test_fast_delong_is_delong_by_definition(pairs):
    first, second = np.array(pairs, float).T
    labels = np.arange(len(pairs)) % 3 == 0
    one, two, covariance, variance = by_definition(labels, first, second)
    alone = metrics.auc_interval(labels, first)
    assert alone.value == pytest.approx(one, abs=1e-12)
    if alone.method == "DeLong":
        half = Z * covariance[0, 0] ** 0.5
        assert alone.high == pytest.approx(min(1, one + half), abs=1e-9)
    found = metrics.auc_difference(labels, first, second).interval
    assert found.value == pytest.approx(two - one, abs=1e-12)
    if found.method == "DeLong":
        assert found.low == pytest.approx(max(-1, two - one - Z * variance**0.5), abs=1e-6)


def crowd(copies: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Labels, two models' scores and groups of 120 lesions with so many photographs each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(120) % 4 == 0
    first = labels + rng.normal(0, 1, 120)
    second = first + rng.normal(0, 0.5, 120)
    return tuple(np.repeat(part, copies) for part in (labels, first, second, np.arange(120)))


def test_groups_of_one_are_delong_s_own():
    labels, first, second, groups = crowd(1)
    assert metrics.auc_interval(labels, first, groups) == metrics.auc_interval(labels, first)
    found = metrics.auc_difference(labels, first, second, groups)
    assert found == metrics.auc_difference(labels, first, second)
    assert found.interval.method == "DeLong"


def test_a_photograph_taken_thrice_proves_no_more_than_once():
    once, thrice = crowd(1), crowd(3)
    (labels, first, second, _), (more, third, fourth, groups) = once, thrice
    alone = metrics.auc_difference(labels, first, second).interval
    found = metrics.auc_difference(more, third, fourth, groups).interval
    assert found.method == "DeLong, by patient or lesion (Obuchowski 1997)"
    assert (found.low, found.value, found.high) == pytest.approx(
        (alone.low, alone.value, alone.high), abs=1e-12
    )
    assert metrics.auc_difference(more, third, fourth).interval.low > alone.low
    one, three = metrics.auc_interval(labels, first), metrics.auc_interval(more, third, groups)
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=1e-12)


def test_groups_with_both_classes_cover_what_they_promise():
    """Patients with several lesions of both classes; a third of a score is the patient's own."""
    rng, covered = np.random.default_rng(3), {"groups": 0, "photographs": 0}
    truth = float(NormalDist(0, 2**0.5 * 1.5**0.5).cdf(1))
    for _ in range(400):
        groups = np.repeat(np.arange(60), 5)
        labels = rng.random(300) < np.where(groups % 2, 0.6, 0.1)
        scores = labels + rng.normal(0, 1, 300) + rng.normal(0, 0.5**0.5, 60)[groups]
        for name, own in (("groups", groups), ("photographs", None)):
            found = metrics.auc_interval(labels, scores, own)
            covered[name] += found.low <= truth <= found.high
    assert covered["groups"] / 400 == pytest.approx(0.95, abs=0.03)
    assert covered["photographs"] < covered["groups"]


def test_a_class_of_one_group_has_newcombe_s_interval():
    labels, first, _, groups = crowd(1)
    groups = np.where(labels, 500, groups)
    found = metrics.auc_interval(labels, first, groups)
    assert found.method == "Newcombe"
    assert found.high - found.low > 0.5


def test_delong_is_near_the_bootstrap():
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 4 == 0
    first = labels + rng.normal(0, 1, 240)
    second = first + rng.normal(0, 0.5, 240)
    found = metrics.auc_difference(labels, first, second).interval
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    drawn = []
    for _ in range(600):
        rows = np.concatenate([rng.choice(positive, 60), rng.choice(negative, 180)])
        drawn.append(
            metrics.auc(labels[rows], second[rows]) - metrics.auc(labels[rows], first[rows])
        )
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.012)


@given(scores)
def test_auc_is_symmetric_and_invariant_under_monotone_maps(values):
    labels, given_scores = split(values)
    area = metrics.auc(labels, given_scores)
    assert metrics.auc(labels, -given_scores) == pytest.approx(1 - area, abs=1e-12)
    assert metrics.auc(~labels, given_scores) == pytest.approx(1 - area, abs=1e-12)
    assert metrics.auc(labels, np.exp(given_scores / 3)) == area


@given(scores)
def test_every_interval_holds_its_value_and_stays_in_bounds(values):
    labels, given_scores = split(values)
    found = metrics.figures(labels, given_scores / 12, 0.5)
    for interval in (found.auc, found.sensitivity, found.specificity):
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
    difference = metrics.auc_difference(labels, given_scores, given_scores[::-1].copy()).interval
    assert -1 <= difference.low <= difference.value <= difference.high <= 1


def test_perfect_separation_has_an_interval_with_width():
    labels = np.array([False] * 10 + [True] * 5)
    found = metrics.auc_interval(labels, labels.astype(float))
    assert found.method == "Newcombe"
    assert found.value == found.high == 1
    assert 0.6 < found.low < 0.95


def test_newcombe_bounds_lie_z_standard_errors_away_and_narrow_with_n():
    found = newcombe(0.8, 20, 30)
    for t in (found.low, found.high):
        q1, q2 = t / (2 - t), 2 * t * t / (1 + t)  # Hanley & McNeil 1982
        error = ((t * (1 - t) + 24 * (q1 - t * t + q2 - t * t)) / (20 * 30)) ** 0.5
        assert abs(0.8 - t) == pytest.approx(Z * error, abs=1e-9)
    wide, narrow = newcombe(1.0, 10, 10), newcombe(1.0, 100, 100)
    assert wide.low < narrow.low < 1


def test_mover_of_equal_halves_is_symmetric():
    both = newcombe(1.0, 10, 10)
    found = mover(both, both)
    assert (found.value, found.low) == (0, pytest.approx(both.low - 1))
    assert found.high == pytest.approx(-found.low)


def test_a_model_against_itself_differs_by_nothing():
    first = marker("s100b")
    found = metrics.auc_difference(OUTCOME, first, np.log1p(first))
    assert (found.interval.low, found.interval.value, found.interval.high) == (0, 0, 0)
    assert found.p_value == 1


def test_two_perfect_models_are_not_declared_equal_without_doubt():
    labels = np.array([False] * 6 + [True] * 4)
    first = np.arange(10.0)
    second = np.array([1, 0, 2, 3, 4, 5, 6, 7, 9, 8.0])
    found = metrics.auc_difference(labels, first, second)
    assert (found.interval.method, found.p_value) == ("MOVER", None)
    assert found.interval.low < 0 < found.interval.high


def test_models_that_order_every_pair_alike_differ_by_nothing():
    found = metrics.auc_difference(
        np.array([False, False, True, False, True]),
        np.array([1, 2, 3, 4, 5.0]),
        np.array([2, 1, 3, 4, 5.0]),
    )
    assert (found.interval.low, found.interval.high, found.p_value) == (0, 0, 1)


@pytest.mark.parametrize("labels", [[True, True], [False, False, False], []])
def test_one_class_only_is_refused(labels):
    with pytest.raises(InputError, match="need both classes"):
        metrics.auc(np.array(labels, bool), np.zeros(len(labels)))


@pytest.mark.parametrize("given_scores", [[0.1, np.nan], [0.1], [0.1, np.inf]])
def test_scores_that_do_not_fit_are_refused(given_scores):
    with pytest.raises(InputError, match="expected 2 finite scores"):
        metrics.figures(np.array([True, False]), np.array(given_scores), 0.5)


def test_wilson_of_a_textbook_example():
    found = wilson(81, 263)  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none = wilson(0, 20)  # ibid.
    assert (none.low, none.high) == pytest.approx((0, 0.1611), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilson_stays_in_bounds_and_is_symmetric(n, data):
    hits = data.draw(st.integers(0, n))
    found, mirrored = wilson(hits, n), wilson(n - hits, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_no_share(hits, n):
    with pytest.raises(InputError, match="expected 0 to n hits"):
        wilson(hits, n)


def test_a_probability_at_the_threshold_is_positive():
    labels = np.array([True, True, False, False])
    given_scores = np.array([0.5, 0.4, 0.5, 0.4])
    found = metrics.figures(labels, given_scores, 0.5)
    assert (found.sensitivity.value, found.specificity.value) == (0.5, 0.5)
    assert (found.n, found.positives, found.balanced_accuracy) == (4, 2, 0.5)


@given(scores)
def test_brier_and_roc_are_those_of_scikit_learn(values):
    labels, given_scores = split(values)
    expected = brier_score_loss(labels, given_scores / 12)
    assert metrics.brier(labels, given_scores / 12) == pytest.approx(expected, abs=1e-12)
    false, true = metrics.roc(labels, given_scores)
    wanted = roc_curve(labels, given_scores, drop_intermediate=False)
    np.testing.assert_allclose(false, wanted[0], atol=1e-12)
    np.testing.assert_allclose(true, wanted[1], atol=1e-12)


def test_a_calibrated_model_stays_below_the_error_of_chance_nineteen_times_of_twenty():
    random = np.random.default_rng(5)
    said = random.beta(0.6, 2.4, 384)
    bound = metrics.chance_error(said)
    errors = [metrics.calibration_error(random.random(384) < said, said) for _ in range(400)]
    assert 0.91 < np.mean(np.array(errors) <= bound) < 0.98
    assert metrics.chance_error(np.tile(said, 20)) < bound / 3
    assert metrics.chance_error(said) == bound  # always the same draws


def test_calibration_error_by_hand():
    labels = np.array([False, False, True, True, False, True, True, True])
    given_scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    low, high = metrics.calibration_bins(labels, given_scores, bins=2)
    assert (low.n, low.probability, low.observed.value) == (4, pytest.approx(0.25), 0.5)
    assert (high.n, high.probability, high.observed.value) == (4, pytest.approx(0.75), 0.75)
    assert metrics.calibration_error(labels, given_scores, bins=2) == pytest.approx(0.125)


@given(scores, st.randoms())
def test_calibration_error_does_not_depend_on_the_order_of_rows(values, random):
    labels, given_scores = split(values)
    order = np.array(random.sample(range(len(values)), len(values)))
    shuffled = metrics.calibration_error(labels[order], given_scores[order] / 12)
    assert shuffled == pytest.approx(
        metrics.calibration_error(labels, given_scores / 12), abs=1e-12
    )


def test_agreement_counts_flips_both_ways():
    found = metrics.agreement(np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool))
    assert (found.share.value, found.to_negative, found.to_positive) == (0.4, 2, 1)
