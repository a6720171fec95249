import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dermedge import basis
from dermedge.contract import FAILED_GATE, NOTICE, Contract, parse
from dermedge.decide import Verdict, decide, judge
from dermedge.errors import InputError
from dermedge.threshold import is_users, set_by_user

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.4, 0.41, 0.9, 1.0])
def test_the_users_threshold_decides_without_the_bundles_band(terms: Contract, threshold: float):
    rule = set_by_user(terms, threshold).decision
    assert rule.threshold == threshold
    for probability in (0.0, 0.049, 0.05, 0.39, 0.41, 0.9, 1.0):
        expected = Verdict.REFER if probability >= threshold else Verdict.CLEAR
        assert decide(probability, rule) is expected


def test_whose_threshold_it_is_and_what_the_bundles_was_stands_in_every_result(terms: Contract):
    own = set_by_user(terms, 0.25)
    found = basis.of(own, "unsigned")
    assert found["threshold"] == 0.25
    assert found["chosen_for"] == "the user, not the bundle's 0.400 for sensitivity>=0.90"
    assert found["threshold_by_user"] is True
    assert own.decision.thresholds["sensitivity>=0.90"] == 0.4
    assert "threshold 0.250 set by the user" in basis.remark(own, "unsigned")
    assert basis.of(terms, "unsigned")["threshold_by_user"] is False
    assert basis.remark(terms, "by me") == ""


def test_it_is_a_contract_that_can_be_written_and_read(terms: Contract):
    own = set_by_user(terms, 0.25)
    assert parse(own.to_json()) == own
    assert is_users(own.decision)


def test_none_leaves_the_bundles_own(terms: Contract):
    assert set_by_user(terms, None) is terms


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused(terms: Contract, threshold: float):
    with pytest.raises(InputError, match="--threshold"):
        set_by_user(terms, threshold)


def test_without_positive_classes_it_is_the_least_that_is_enough(terms: Contract):
    labels = tuple(dataclasses.replace(label, positive=False) for label in terms.labels)
    band = dataclasses.replace(terms.decision, uncertain_band=(0.0, 0.42))
    naming = set_by_user(dataclasses.replace(terms, labels=labels, decision=band), 0.7)
    assert parse(naming.to_json()) == naming
    assert judge(np.array([0.31, 0.69]), naming).verdict is Verdict.UNCERTAIN
    assert judge(np.array([0.29, 0.71]), naming).decision == "malignant"


def test_a_model_that_failed_its_gate_is_known_by_its_notice(terms: Contract):
    assert not terms.failed_gate
    failed = dataclasses.replace(terms, notice=f"{FAILED_GATE}: its AUC is lower. {NOTICE}")
    assert basis.of(failed, "unsigned")["failed_gate"] is True
    assert "failed its gate" in basis.remark(failed, "by me")
