"""The gate: which losses a small model may have, and what is said of the others."""

import dataclasses
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dermedge import compare, contract, gate, metrics, table
from dermedge.bundle import open_bundle
from dermedge.delong import Difference
from dermedge.gate import Gate
from dermedge.intervals import Interval

WIDE = Gate(1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    rows = []
    for i in range(12):
        pixels = np.clip(random.normal(random.normal(130, 40, 3), 10, (70, 70, 3)), 0, 255)
        cv2.imwrite(str(folder / f"{i:02}.png"), pixels.astype(np.uint8))
        rows.append(table.Row(f"{i:02}.png", ("benign", "malignant")[i % 2], table.MADE_UP))
    table.write(rows, folder / table.TABLE)
    return table.read(folder)


@pytest.fixture(scope="module")
def measured(tiny_bundles, photos):
    return compare.measure(
        [open_bundle(path) for path in tiny_bundles], photos, compare.Plan("all", 1, 1)
    )


@pytest.fixture(scope="module")
def found(measured):
    full, small = measured
    return compare.pair(full, small, compare.Plan("all", 1, 1))


@pytest.fixture(scope="module")
def naming(tiny_bundles, photos):
    """The same bundles, as if no class were positive."""
    opened = []
    for path in tiny_bundles:
        whole = open_bundle(path)
        labels = tuple(dataclasses.replace(x, positive=False) for x in whole.contract.labels)
        rule = contract.Decision({"accuracy>=0.90": 0.5}, "accuracy>=0.90", (0.0, 0.5))
        terms = dataclasses.replace(whole.contract, labels=labels, decision=rule)
        opened.append(dataclasses.replace(whole, contract=terms))
    return compare.compare(opened[0], opened[1], photos, compare.Plan("all", 1, 1))


def share(value):
    return Interval(value, value, value)


def like(found, low=0.0, before=0.9, after=0.9, ece=0.01):
    """A comparison with these figures."""
    name, _ = gate.caught(found.full.figures)
    models = [
        dataclasses.replace(
            model,
            figures=dataclasses.replace(model.figures, ece=ece, **{name: share(value)}),
        )
        for model, value in ((found.full, before), (found.small, after))
    ]
    difference = Difference(Interval(0.0, low, 0.1), 0.5)
    return dataclasses.replace(found, full=models[0], small=models[1], difference=difference)


def test_a_model_that_loses_nothing_passes(found, naming):
    assert gate.judge(like(found), Gate()) == ()
    assert gate.judge(like(naming), Gate()) == ()


def test_each_rule_fails_alone_and_says_why(found):
    (auc,) = gate.judge(like(found, low=-0.021), Gate())
    assert "AUC" in auc
    assert "\u22120.021 to +0.100" in auc
    (sensitivity,) = gate.judge(like(found, after=0.87), Gate())
    assert sensitivity == "its sensitivity is lower by 0.030, at most 0.02: 0.900 to 0.870"
    (ece,) = gate.judge(like(found, ece=0.9), Gate())
    assert ece.startswith("its calibration error is 0.900, at most 0.05, or 0.")
    assert ece.endswith("that chance explains (the float model's: 0.900)")


def test_a_calibration_error_that_chance_explains_passes_on_few_photographs_only(found):
    shown = found.small.predictions
    few = metrics.chance_error(shown.probabilities)
    assert few > 0.1  # of 12 photographs
    assert gate.judge(like(found, ece=few), Gate()) == ()
    many = dataclasses.replace(shown, probabilities=np.tile(shown.probabilities, 1000))
    other = like(found, ece=few)
    other = dataclasses.replace(other, small=dataclasses.replace(other.small, predictions=many))
    assert len(gate.judge(other, Gate())) == 1


def test_more_photographs_than_the_comparison_has_may_judge_the_difference(found):
    worse = Difference(Interval(-0.01, -0.03, 0.01), 0.5)
    (reason,) = gate.judge(like(found), Gate(), worse)
    assert "\u22120.030 to +0.010" in reason
    assert gate.judge(like(found, low=-0.5), Gate(), Difference(Interval(0, -0.02, 0.1), 0.5)) == ()


def test_what_is_just_allowed_passes_whatever_the_rounding(found):
    assert 0.9 - 0.88 > 0.02  # in binary
    assert gate.judge(like(found, low=-0.02, after=0.88, ece=0.05), Gate()) == ()


def test_a_gain_is_no_loss(found):
    assert gate.judge(like(found, low=0.05, after=1.0, ece=0.0), Gate(0.0, 0.0, 0.0)) == ()


def test_without_positive_classes_it_is_accuracy_that_may_not_fall(naming):
    (reason,) = gate.judge(like(naming, after=0.8), Gate())
    assert "accuracy is lower by 0.100" in reason
    assert gate.judge(naming, WIDE) == ()


def test_a_wide_gate_lets_everything_through_and_its_rules_are_checked(found):
    assert gate.judge(found, WIDE) == ()
    assert all(WIDE.rules().values())
    assert not all(Gate(max_ece=-0.1).rules().values())
    assert not all(Gate(max_auc_drop=1.5).rules().values())


def test_models_measured_on_other_photographs_are_not_paired(measured):
    full, small = measured
    said = small.predictions
    fewer = dataclasses.replace(said.table, rows=said.table.rows[1:])
    other = dataclasses.replace(small, predictions=dataclasses.replace(said, table=fewer))
    with pytest.raises(compare.InputError, match=r"saw 12 of .* 11 of"):
        compare.pair(full, other, compare.Plan("all", 1, 1))


def test_three_bundles_are_measured_in_one_go(tiny_bundles, photos):
    opened = [open_bundle(tiny_bundles[i]) for i in (0, 1, 0)]
    stages = []
    found = compare.measure(
        opened,
        photos,
        compare.Plan("all", 1, 2),
        lambda stage, done, total: stages.append((stage, done, total)),
    )
    assert [one.file for one in found] == ["float.kit", "small.kit", "float.kit"]
    assert found[0].figures == found[2].figures
    assert all(one.latency.n == 2 for one in found)
    assert ("cold start", 3, 3) in stages


def test_importing_the_gate_is_light():
    code = "import sys, dermedge.gate; print('numpy' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
