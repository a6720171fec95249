"""Several classes and subgroups: held against isic-challenge-scoring and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isic_challenge_scoring import metrics as isic
from isic_challenge_scoring.classification import ClassificationMetric, ClassificationScore
from sklearn import metrics as sk

from dermedge.table import Row
from dermtrain.evaluation import multiclass, subgroups

NAMES = ("NV", "MEL", "BCC", "AK")


def simulated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, len(NAMES), n)
    logits = random.normal(0, 1, (n, len(NAMES)))
    logits[np.arange(n), targets] += 1.0
    powers = np.exp(logits)
    return targets, powers / powers.sum(axis=1, keepdims=True)


def scored(targets: np.ndarray, probabilities: np.ndarray) -> ClassificationScore:
    truth = pd.DataFrame(np.eye(len(NAMES))[targets], columns=list(NAMES))
    said = pd.DataFrame(probabilities, columns=list(NAMES))
    weights = pd.DataFrame({"score_weight": 1.0, "validation_weight": 1.0}, index=truth.index)
    return ClassificationScore(truth, said, weights, ClassificationMetric.BALANCED_ACCURACY)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # in that package, from pandas 3.1 on
def test_scores_are_those_of_isic_challenge_scoring() -> None:
    targets, probabilities = simulated(240, 1)
    found = multiclass.measure(NAMES, targets, probabilities, np.arange(240), 50, 0)
    expected = scored(targets, probabilities)
    assert found.balanced.value == pytest.approx(expected.overall, abs=1e-9)
    assert found.mean_auc is not None
    assert found.mean_auc.value == pytest.approx(expected.macro_average["auc"], abs=1e-9)
    areas = expected.per_category["auc"].tolist()
    for number, one in enumerate(found.classes):
        assert one.auc is not None
        assert one.auc.value == pytest.approx(areas[number], abs=1e-9)


def test_confusion_recall_and_top_1_are_scikit_learns() -> None:
    targets, probabilities = simulated(200, 2)
    found = multiclass.measure(NAMES, targets, probabilities, np.arange(200), 50, 0)
    answers = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(found.confusion, sk.confusion_matrix(targets, answers))
    assert found.top1.value == pytest.approx(sk.accuracy_score(targets, answers), abs=1e-12)
    recall = sk.recall_score(targets, answers, average=None)
    precision = sk.precision_score(targets, answers, average=None)
    for one, share, right in zip(found.classes, recall, precision, strict=True):
        assert one.found is not None
        assert one.right is not None
        assert (one.found.value, one.right.value) == pytest.approx((share, right), abs=1e-12)
    mean = sk.roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
    assert found.mean_auc is not None
    assert found.mean_auc.value == pytest.approx(mean, abs=1e-9)


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.tuples(*[st.integers(0, 3)] * 4)), min_size=4, max_size=30
    )
)
def test_balanced_score_is_isics_also_with_ties_and_absent_classes(
    rows: list[tuple[int, tuple[int, ...]]],
) -> None:
    targets = np.array([target for target, _ in rows])
    probabilities = np.array([said for _, said in rows], float) / 10
    truth = pd.DataFrame(np.eye(4)[targets], columns=list(NAMES))
    said = pd.DataFrame(probabilities, columns=list(NAMES))
    with np.errstate(all="ignore"):
        expected = isic.balanced_multiclass_accuracy(truth, said, pd.Series(np.ones(len(rows))))
    found = multiclass.measure(NAMES, targets, probabilities, np.arange(len(rows)), 20, 0)
    assert found.balanced.value == pytest.approx(expected, abs=1e-9)
    assert found.undecided + sum(map(sum, found.confusion)) == len(rows)
    assert found.balanced.low <= found.balanced.value <= found.balanced.high


def test_a_class_without_photographs_is_not_evaluated() -> None:
    targets, probabilities = simulated(60, 3)
    kept = targets != 2
    found = multiclass.measure(
        NAMES, targets[kept], probabilities[kept], np.arange(kept.sum()), 20, 0
    )
    assert (found.classes[2].n, found.classes[2].auc, found.classes[2].found) == (0, None, None)
    assert found.mean_auc is not None


def none(rows: np.ndarray) -> tuple[None, None]:
    return None, None


def test_what_the_table_does_not_state_is_named_all_the_same() -> None:
    rows = [Row(f"{i}", "benign") for i in range(4)]
    found = subgroups.measure(rows, none)
    assert [one.name for one in found] == ["sex", "age", "site", "skin_tone", "source"]
    assert {one.why for one in found} == {"not evaluated: the table does not state it"}
    assert {one.unknown for one in found} == {4}


def test_ages_fall_into_bands_and_unknown_ones_into_none() -> None:
    ages = ["29", "30", "44.5", "45", "75", "90", ""]
    rows = [Row(f"{i}", "x", attributes={"age": age} if age else {}) for i, age in enumerate(ages)]
    seen: list[list[int]] = []

    def note(members: np.ndarray) -> tuple[None, None]:
        seen.append(np.flatnonzero(members).tolist())
        return None, None

    found = {one.name: one for one in subgroups.measure(rows, note)}["age"]
    assert [group.name for group in found.subgroups] == [
        *("under 30", "30 to under 45", "45 to under 60", "75 and over"),
    ]
    assert [group.n for group in found.subgroups] == [1, 2, 1, 2]
    assert found.unknown == 1
    assert seen == [[0], [1, 2], [3], [4, 5]]


def test_measures_fall_into_quarters_and_names_into_no_groups() -> None:
    rows = [
        Row(f"{i}", "x", attributes={"diameter": str(i), "doctor": f"dr-{i}"}) for i in range(40)
    ]
    found = {one.name: one for one in subgroups.measure(rows, none)}
    assert [group.n for group in found["diameter"].subgroups] == [10, 10, 10, 10]
    assert found["doctor"].subgroups == ()
    assert found["doctor"].why.startswith("not evaluated: 40 different values")


@given(values=st.lists(st.text(max_size=6), min_size=1, max_size=50))
def test_every_row_is_in_one_subgroup_or_not_stated(values: list[str]) -> None:
    rows = [Row(str(i), "x", attributes={"site": v} if v else {}) for i, v in enumerate(values)]
    found = {one.name: one for one in subgroups.measure(rows, none)}["site"]
    if not found.why:
        assert sum(group.n for group in found.subgroups) + found.unknown == len(rows)
