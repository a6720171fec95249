from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dermedge.contract import Contract, Decision, Label
from dermedge.decide import (
    Verdict,
    decide,
    judge,
    positive_probability,
    probabilities,
    reported_probability,
    top,
)

shares = st.floats(0, 1)
logit_rows = arrays.arrays(np.float32, (3, 4), elements=st.floats(-80, 80, width=32))


@st.composite
def rules(draw: st.DrawFn) -> Decision:
    low, threshold, high = sorted(draw(st.tuples(shares, shares, shares)))
    return Decision({"youden": threshold}, "youden", (low, high))


ORDER = {Verdict.CLEAR: 0, Verdict.UNCERTAIN: 1, Verdict.REFER: 2}


@given(rule=rules(), first=shares, second=shares)
def test_a_higher_probability_never_gives_a_milder_verdict(
    rule: Decision, first: float, second: float
):
    mild, severe = sorted((first, second))
    assert ORDER[decide(mild, rule)] <= ORDER[decide(severe, rule)]


@given(rule=rules(), probability=shares)
def test_uncertain_is_inside_the_band_and_only_there(rule: Decision, probability: float):
    low, high = rule.uncertain_band
    assert (decide(probability, rule) is Verdict.UNCERTAIN) == (low <= probability < high)


@given(rule=rules(), probability=shares)
def test_what_is_not_assessable_gets_no_other_verdict(rule: Decision, probability: float):
    assert decide(probability, rule, assessable=False) is Verdict.NOT_ASSESSABLE


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [(0.39, Verdict.CLEAR), (0.4, Verdict.REFER), (0.41, Verdict.REFER)],
)
def test_the_threshold_itself_refers(probability: float, verdict: Verdict):
    rule = Decision({"a": 0.4, "b": 0.9}, "a", (0.4, 0.4))
    assert decide(probability, rule) is verdict


@given(logits=logit_rows, temperature=st.floats(0.05, 20))
def test_probabilities_are_the_softmax_of_the_tempered_logits(
    logits: np.ndarray, temperature: float
):
    special = pytest.importorskip("scipy.special")
    expected = special.softmax(logits.astype(np.float64) / temperature, axis=-1)
    found = probabilities(logits, temperature)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-300)


@given(logits=logit_rows, temperature=st.floats(0.05, 20), shift=st.floats(-50, 50))
def test_probabilities_sum_to_one_and_ignore_a_common_shift(
    logits: np.ndarray, temperature: float, shift: float
):
    found = probabilities(logits.astype(np.float64), temperature)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-12)
    shifted = probabilities(logits.astype(np.float64) + shift, temperature)
    np.testing.assert_allclose(found, shifted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_do_not_overflow(size: float):
    found = probabilities(np.array([size, -size]), 1.0)
    assert found.tolist() == [1.0, 0.0]


@given(logits=logit_rows, temperature=st.floats(0.05, 20))
def test_positive_probability_sums_the_positive_classes(logits: np.ndarray, temperature: float):
    each = probabilities(logits, temperature)
    found = positive_probability(logits, temperature, (1, 3))
    np.testing.assert_allclose(found, each[:, 1] + each[:, 3], rtol=1e-15)


@given(logits=logit_rows, temperature=st.floats(0.1, 10))
def test_the_temperature_never_changes_which_class_leads(logits: np.ndarray, temperature: float):
    leading = probabilities(logits, 1.0).argmax(-1)
    tempered = probabilities(logits, temperature)
    rows = np.arange(len(logits))
    np.testing.assert_allclose(tempered[rows, leading], tempered.max(-1), rtol=1e-6)


NAMES = ("cat", "dog", "owl", "yak")


@pytest.fixture(scope="module")
def animals(terms: Contract) -> Contract:
    """Four classes, none positive; a class is named from 0.6 on."""
    labels = tuple(Label(i, name, False) for i, name in enumerate(NAMES))
    rule = Decision({"accuracy>=0.90": 0.6}, "accuracy>=0.90", (0.0, 0.6))
    return replace(terms, labels=labels, decision=rule)


def _rule(terms: Contract, threshold: float) -> Contract:
    rule = Decision({"accuracy>=0.90": threshold}, "accuracy>=0.90", (0.0, threshold))
    return replace(terms, decision=rule)


@given(logits=logit_rows, threshold=shares)
def test_without_positive_classes_the_top_one_is_named_or_uncertain_by_its_probability(
    animals: Contract, logits: np.ndarray, threshold: float
):
    for each in probabilities(logits, 1.0):
        said = judge(each, _rule(animals, threshold))
        assert said.probability == each.max()
        if each.max() >= threshold and threshold < 1:
            assert said.verdict is Verdict.NAMED
            assert each[NAMES.index(said.decision)] == each.max()
        else:
            assert (said.verdict, said.decision) == (Verdict.UNCERTAIN, "uncertain")


def test_where_validation_supports_no_threshold_nothing_is_ever_named(animals: Contract):
    sure = np.array([1.0, 0.0, 0.0, 0.0])
    assert judge(sure, _rule(animals, 1.0)).verdict is Verdict.UNCERTAIN
    assert judge(sure, _rule(animals, np.nextafter(1, 0))).decision == "cat"


def test_what_is_not_assessable_is_not_named(animals: Contract):
    said = judge(np.array([0.9, 0.1, 0.0, 0.0]), animals, assessable=False)
    assert (said.verdict, said.decision) == (Verdict.NOT_ASSESSABLE, "not assessable")
    assert said.probability == 0.9


@given(logits=logit_rows, temperature=st.floats(0.05, 20))
def test_reported_is_the_sum_of_the_positive_or_the_top(logits: np.ndarray, temperature: float):
    each = probabilities(logits, temperature)
    np.testing.assert_array_equal(
        reported_probability(logits, temperature, (1, 3)),
        positive_probability(logits, temperature, (1, 3)),
    )
    np.testing.assert_array_equal(reported_probability(logits, temperature, ()), each.max(-1))


@given(logits=logit_rows)
def test_the_top_classes_lead_and_fall(animals: Contract, logits: np.ndarray):
    for each in probabilities(logits, 1.0):
        found = top(each, animals)
        assert list(found.values()) == sorted(each, reverse=True)[:3]
        assert all(each[NAMES.index(name)] == p for name, p in found.items())


def test_with_positive_classes_the_answer_is_the_frozen_rules(terms: Contract):
    for p in (0.1, 0.39, 0.5):
        said = judge(np.array([1 - p, p]), terms)
        assert said.verdict is decide(p, terms.decision)
        assert said.decision == said.verdict.value
