"""Any number of classes, with and without positive ones: what validation fixes, and a whole run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dermedge import contract, image, topclass
from dermedge import table as tables
from dermedge.decide import judge, probabilities
from dermedge.errors import InputError
from dermtrain import calibrate
from dermtrain.truth import Truth

if TYPE_CHECKING:
    from dermtrain.run import Run


def _simulated(rows: int, classes: int, seed: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    logits = random.normal(0, 1, (rows, classes))
    logits[np.arange(rows), labels] += skill
    return logits, labels


@pytest.mark.parametrize("classes", [3, 10])
def test_plateau_watches_the_mean_auc_of_the_classes(classes: int) -> None:
    logits, labels = _simulated(200, classes, 0, 1.0)
    each = probabilities(logits, 1.0)
    expected = roc_auc_score(labels, each, multi_class="ovr", average="macro")
    assert Truth(labels, ()).auc(logits) == pytest.approx(expected, abs=1e-12)


def test_reported_truth_is_the_positive_class_or_the_right_top_class() -> None:
    logits, labels = _simulated(60, 3, 0, 1.0)
    assert (Truth(labels, (1,)).reported(logits) == (labels == 1)).all()
    assert (Truth(labels, ()).reported(logits) == (logits.argmax(1) == labels)).all()


@settings(max_examples=40)
@given(
    rows=st.integers(10, 120),
    classes=st.integers(2, 7),
    seed=st.integers(0, 1000),
    skill=st.sampled_from([0.0, 1.0, 3.0, 8.0]),
)
def test_named_classes_are_right_as_often_on_validation_as_the_operating_point_says(
    rows: int, classes: int, seed: int, skill: float
) -> None:
    logits, labels = _simulated(rows, classes, seed, skill)
    calibration, decision = calibrate.calibrate(logits, Truth(labels, ()), seed)
    assert decision.chosen_for == "accuracy>=0.90"
    assert set(decision.thresholds) == {"accuracy>=0.90", "accuracy>=0.95"}
    assert decision.uncertain_band == (0.0, decision.threshold)
    each = probabilities(logits, calibration.temperature)
    for goal in calibrate.ACCURACIES:
        named = topclass.named(each, decision.thresholds[f"accuracy>={goal:.2f}"])
        if named.any():
            assert named.sum() >= 10
            assert topclass.right(labels, each)[named].mean() >= goal
    low, high = (decision.thresholds[f"accuracy>={goal:.2f}"] for goal in calibrate.ACCURACIES)
    assert low <= high


def test_figures_of_every_split_are_frozen() -> None:
    val, test = _simulated(90, 3, 0, 2.0), _simulated(120, 3, 1, 2.0)
    frozen = calibrate.freeze(
        {"val": val[0], "test": test[0]},
        {"val": Truth(val[1], ()), "test": Truth(test[1], ())},
        seed=0,
    )
    each = probabilities(test[0], frozen.calibration.temperature)
    found = frozen.metrics["test"]
    assert found["n"] == 120
    assert found["accuracy"]["value"] == pytest.approx((each.argmax(1) == test[1]).mean())
    assert found["threshold"] == frozen.decision.threshold
    json.dumps(frozen.metrics)


@pytest.fixture(scope="module")
def folders(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes as folders, of which none is called malignant."""
    folder = tmp_path_factory.mktemp("classes")
    for number, row in enumerate(tables.read(pictures).rows):
        name = "owl" if row.label == "malignant" else ("cat", "dog")[number % 2]
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(pictures / row.image, folder / name)
    return folder


def _train(data: Path, folder: Path) -> Run:
    """As little training as there can be: the head alone, on nothing learnt."""
    from dermtrain.history import History
    from dermtrain.job import Job, train
    from dermtrain.recipe import Phase, Recipe
    from dermtrain.store import Store

    how = Recipe("head", phase=(Phase("transfer", views=1, patience=1),))
    job = Job(data, folder / "run", how, "none", ("none",), 32, 0)
    with Store(folder / "cache", 10**9) as store:
        found = train(job, store, History(), lambda line: None)
    assert found is not None
    return found


@pytest.mark.tensorflow
def test_without_positive_classes_a_run_is_trained_and_evaluated(
    folders: Path, tmp_path: Path
) -> None:
    from dermedge import predictions as proof
    from dermtrain import run
    from dermtrain.evaluate import predict_run

    found = _train(folders, tmp_path)
    terms = contract.load(found.folder / run.CONTRACT)
    assert [(label.name, label.positive) for label in terms.labels] == [
        *(("cat", False), ("dog", False), ("owl", False))
    ]
    assert terms.decision.chosen_for == "accuracy>=0.90"
    assert image.read(found.folder / run.CURVES).shape[1] > 1000
    with (found.folder / run.PREDICTIONS).open(encoding="utf-8", newline="") as stream:
        for record in csv.DictReader(stream):
            logits = np.array([float(record[f"logit_{x.name}"]) for x in terms.labels])
            said = judge(probabilities(logits, terms.calibration.temperature), terms)
            assert float(record["probability"]) == pytest.approx(said.probability, abs=1e-4)
            assert record["decision"] in ("cat", "dog", "owl", "uncertain")
    measured = proof.top_figures_of(predict_run(found.folder, None, "test", None))
    recorded = terms.provenance.metrics["test"]
    assert measured.accuracy.value == pytest.approx(recorded["accuracy"]["value"])
    assert measured.auc.value == pytest.approx(recorded["auc"]["value"], abs=1e-6)


@pytest.mark.tensorflow
def test_a_class_that_is_named_like_a_decision_is_refused(folders: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folders, tmp_path / "data"))
    (other / "cat").rename(other / "uncertain")
    with pytest.raises(InputError, match="uncertain is a decision; rename this class"):
        _train(other, tmp_path)
    assert not (tmp_path / "run").exists()
