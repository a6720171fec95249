"""The audit: differences in parts, McNemar, and spoilt photographs, against outside references."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import recall_score, roc_auc_score

from dermcompress import audit as audits
from dermcompress import audit_words, paired, stress
from dermedge import compare, contract, table
from dermedge.bundle import open_bundle
from dermedge.contract import Label
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.intervals import Interval
from dermedge.predictions import Predictions
from dermtrain.corruptions import NAMES

N = 120
_T = TypeVar("_T")
UNASKED: Any = (None, None)  # judges where nothing is spoilt
CLEAN = stress.Stress(1, 3, 0.5, 0.5, Interval(1.0, 1.0, 1.0), ())


def sure(found: _T | None) -> _T:
    assert found is not None
    return found


def said(terms, labelled, seed, skill):
    """Predictions of a made-up model; the greater its skill, the better."""
    random = np.random.default_rng(seed)
    ids = {label.name: label.id for label in terms.labels}
    targets = np.array([ids[row.label] for row in labelled.rows])
    logits = skill * np.eye(len(ids))[targets] + random.normal(0, 1, (len(targets), len(ids)))
    found = Predictions(terms, labelled, np.zeros(len(targets)), logits)
    each = found.class_probabilities
    reported = each[:, list(terms.positive)].sum(1) if terms.positive else each.max(1)
    return dataclasses.replace(found, probabilities=reported)


def labelled(names):
    random = np.random.default_rng(1)
    rows = []
    for i in range(N):
        attributes = {"sex": ("female", "male")[i % 2], "age": str(20 + i % 60)}
        if i < 5:
            del attributes["sex"]
        name = names[int(random.integers(len(names)))]
        rows.append(table.Row(f"{i}.png", name, attributes=attributes))
    return table.Table(Path("made-up.csv"), Path(), tuple(rows))


@pytest.fixture(scope="module")
def pair(tiny_bundles, terms, tmp_path_factory):
    """Two measured models, on photographs that are only names."""
    folder = tmp_path_factory.mktemp("two")
    rows = []
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((70, 70, 3), 60 + 80 * i, np.uint8))
        rows.append(table.Row(f"{i}.png", ("benign", "malignant")[i], table.MADE_UP))
    table.write(rows, folder / table.TABLE)
    opened = [open_bundle(path) for path in tiny_bundles]
    return compare.measure(opened, table.read(folder), compare.Plan("all", 1, 1))


def audited(pair, terms, names, monkeypatch):
    """Audit two made-up models; the spoilt photographs are left out."""
    monkeypatch.setattr(audits.strain, "stress", lambda *_: CLEAN)
    own = labelled(names)
    full, small = (
        dataclasses.replace(one, predictions=said(terms, own, seed, skill))
        for seed, (one, skill) in enumerate(zip(pair, (2.0, 1.2), strict=True))
    )
    return audits.audit(full, small, UNASKED), full.predictions, small.predictions


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 5), (9, 2), (86, 150)])
def test_mcnemar_is_the_exact_binomial_test(lost, gained):
    before = np.array([True] * lost + [False] * gained + [True] * 7 + [False] * 3)
    after = np.array([False] * lost + [True] * gained + [True] * 7 + [False] * 3)
    found = paired.mcnemar(before, after)
    assert (found.lost, found.gained) == (lost, gained)
    n = lost + gained
    assert found.p_value == pytest.approx(binomtest(lost, n).pvalue if n else 1.0)


def test_mcnemar_by_hand():
    # 9 against 2: twice the sum of C(11, k) for k in 0 to 2, over 2 to the 11th.
    before = np.array([True] * 9 + [False] * 2)
    assert paired.mcnemar(before, ~before).p_value == pytest.approx(2 * (1 + 11 + 55) / 2**11)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Fagerland, Lydersen & Laake 2014, airway hyper-responsiveness (Bentur et al. 2009)
        ((1, 1, 7, 12), (0.286, 0.026, 0.507)),
        # Newcombe 1998, with the sign turned: here the second share minus the first
        ((20, 12, 2, 16), (-0.2, -0.3292, -0.0562)),
    ],
)
def test_the_paired_interval_of_a_share_is_newcombes(counts, expected):
    both, lost, gained, neither = counts
    before = np.repeat([True, True, False, False], [both, lost, gained, neither])
    after = np.repeat([True, False, True, False], [both, lost, gained, neither])
    found = paired.share_change(before, after).difference
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=6e-4)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_paired_interval_holds_its_estimate_and_turns_with_the_models(pairs):
    before, after = np.array(pairs).T
    there, back = paired.share_change(before, after), paired.share_change(after, before)
    found = there.difference
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(after.mean() - before.mean())
    assert (found.low, found.high) == pytest.approx((-back.difference.high, -back.difference.low))


def test_subgroups_and_classes_agree_with_scikit_learn(pair, terms, monkeypatch):
    found, first, second = audited(pair, terms, ("benign", "malignant"), monkeypatch)
    sexes = next(one for one in found.attributes if one.name == "sex")
    assert (sexes.unknown, [group.name for group in sexes.groups]) == (5, ["female", "male"])
    for group in sexes.groups:
        rows = np.array([row.attributes.get("sex") == group.name for row in first.table.rows])
        labels = first.labels[rows]
        assert (group.n, group.positives) == (rows.sum(), labels.sum())
        aucs = [roc_auc_score(labels, p.probabilities[rows]) for p in (first, second)]
        assert (sure(group.auc).before, sure(group.auc).after) == pytest.approx(aucs)
        assert sure(group.auc).difference.value == pytest.approx(aucs[1] - aucs[0])
        recalls = [recall_score(labels, p.positive[rows]) for p in (first, second)]
        assert (sure(group.caught).before, sure(group.caught).after) == pytest.approx(recalls)
    for label, one in enumerate(found.classes):
        own = first.targets == label
        recalls = [recall_score(own, p.positive == label) for p in (first, second)]
        assert (sure(one.found).before, sure(one.found).after) == pytest.approx(recalls)
        assert sure(one.auc).after == pytest.approx(
            roc_auc_score(own, second.class_probabilities[:, label])
        )
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_worst_subgroup_is_the_one_with_the_lowest_difference(pair, terms, monkeypatch):
    found, *_ = audited(pair, terms, ("benign", "malignant"), monkeypatch)
    every = [g for one in found.attributes for g in one.groups if g.auc is not None]
    lowest = min(every, key=lambda group: sure(group.auc).difference.value)
    worst = sure(found.worst_auc)
    assert (worst.group, worst.among) == (lowest.name, len(every))
    assert worst.change == lowest.auc


def test_what_the_table_does_not_state_is_not_evaluated_in_so_many_words(pair, terms, monkeypatch):
    found, *_ = audited(pair, terms, ("benign", "malignant"), monkeypatch)
    stated = {one.name: one.why for one in found.attributes}
    assert stated["skin_tone"] == "not evaluated: the table does not state it"
    assert stated["sex"] == ""
    said = audit_words.words(found, "sensitivity")
    tone = next(group for group in said.groups if group.title == "Skin tone")
    assert (tone.why, tone.rows) == (stated["skin_tone"], ())


def test_too_few_photographs_give_no_figure(pair, terms, monkeypatch):
    found, *_ = audited(pair, terms, ("benign",) * 15 + ("malignant",), monkeypatch)
    rare = next(one for one in found.classes if one.name == "malignant")
    assert (rare.n < 10, rare.auc, rare.found) == (True, None, None)
    assert found.worst_auc is None
    words = audit_words.words(found, "sensitivity")
    assert words.worst[0] == "AUC: not evaluated, no subgroup is large enough."
    assert words.classes[1][2] == (audit_words.NOT_EVALUATED,) * 2


def test_models_without_positive_classes_are_audited_by_their_top_class(pair, terms, monkeypatch):
    labels = tuple(Label(i, name, False) for i, name in enumerate("abc"))
    rule = contract.Decision({"accuracy>=0.90": 0.5}, "accuracy>=0.90", (0.0, 0.5))
    naming = dataclasses.replace(terms, labels=labels, decision=rule)
    found, first, second = audited(pair, naming, "abc", monkeypatch)
    tops = [p.logits.argmax(axis=1) for p in (first, second)]
    for label, one in enumerate(found.classes):
        own = first.targets == label
        assert sure(one.found).after == pytest.approx((tops[1][own] == label).mean())
    females = next(one for one in found.attributes if one.name == "sex").groups[0]
    rows = np.array([row.attributes.get("sex") == "female" for row in first.table.rows])
    auc = roc_auc_score(first.targets[rows], first.class_probabilities[rows], multi_class="ovr")
    assert sure(females.auc).before == pytest.approx(auc)
    right = [top == first.targets for top in tops]
    assert found.decisions == paired.mcnemar(*right)


def test_a_model_audited_against_itself_changes_nothing(pair, tiny_bundles):
    judge = Diagnostician(open_bundle(tiny_bundles[0]), 1)
    stages = []
    found = audits.audit(
        pair[0], pair[0], (judge, judge), progress=lambda *state: stages.append(state)
    )
    assert found.decisions == paired.McNemar(0, 0, 1.0)
    assert [one.name for one in found.stress.spoilt] == list(NAMES)
    assert all(one.extra.value == 0 and one.same.value == 1 for one in found.stress.spoilt)
    assert stages[-1] == ("corruptions", len(NAMES), len(NAMES))


def test_other_photographs_are_refused(pair):
    small = pair[1]
    fewer = dataclasses.replace(small.predictions.table, rows=small.predictions.table.rows[1:])
    other = dataclasses.replace(
        small, predictions=dataclasses.replace(small.predictions, table=fewer)
    )
    with pytest.raises(InputError, match="different photographs"):
        audits.audit(pair[0], other, UNASKED)


def test_the_same_pictures_give_what_the_devices_path_gives(pair, tiny_bundles):
    judge = Diagnostician(open_bundle(tiny_bundles[0]), 1)
    own = pair[0].predictions
    pictures = [np.full((70, 70, 3), 60 + 80 * i, np.uint8) for i in range(2)]
    found = stress.predicted(judge, own.table, pictures)
    np.testing.assert_allclose(found.probabilities, own.probabilities)


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from("abc"), min_size=2, max_size=40),
    st.integers(1, 30),
    st.integers(0, 9),
)
def test_photographs_are_drawn_evenly_by_class(labels, most, seed):
    rows = tuple(table.Row(f"{i}", label) for i, label in enumerate(labels))
    whole = table.Table(Path("t"), Path(), rows)
    drawn = stress.draw(whole, most, seed)
    assert drawn == stress.draw(whole, most, seed)
    assert len(drawn.rows) == min(len(rows), max(most, len(set(labels))))
    assert [row for row in rows if row in drawn.rows] == list(drawn.rows)
    counts = {name: sum(row.label == name for row in drawn.rows) for name in set(labels)}
    for name, count in counts.items():
        assert count == labels.count(name) or count >= max(counts.values()) - 1
