"""`kit evaluate RUN`: what the run itself wrote down, measured again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dermedge import predictions as proof
from dermedge import table as tables
from dermedge.errors import BundleError, InputError
from dermedge.table import Row
from dermtrain.evaluate import predict_run, write_report
from dermtrain.run import PREDICTIONS, Run

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def run(finished: tuple[Run, list[str]]) -> Run:
    return finished[0]


def _recorded(run: Run, split: str) -> dict[str, float]:
    with (run.folder / PREDICTIONS).open(encoding="utf-8", newline="") as stream:
        records = [record for record in csv.DictReader(stream) if record["split"] == split]
    return {record["image"]: float(record["probability"]) for record in records}


@pytest.mark.parametrize("split", ["val", "test"])
def test_probabilities_are_those_in_predictions_csv(run: Run, split: str) -> None:
    found = predict_run(run.folder, None, split, None)
    recorded = _recorded(run, split)
    assert [row.image for row in found.table.rows] == list(recorded)
    np.testing.assert_allclose(found.probabilities, list(recorded.values()), atol=1e-5)
    assert {row.split for row in found.table.rows} == {split}


def test_figures_are_those_in_the_contract(run: Run) -> None:
    figures = proof.figures_of(predict_run(run.folder, None, "test", None))
    recorded = run.contract.provenance.metrics["test"]
    assert figures.n == recorded["n"]
    assert figures.auc.value == pytest.approx(recorded["auc"]["value"], abs=1e-9)
    assert figures.sensitivity.value == recorded["sensitivity"]["value"]


def test_other_photographs_without_splits_are_all_judged(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    rows = [Row(row.image, row.label) for row in tables.read(pictures).part("test").rows]
    tables.write(rows, tmp_path / "other.csv")
    found = predict_run(run.folder, tmp_path / "other.csv", "test", pictures)
    recorded = _recorded(run, "test")
    np.testing.assert_allclose(
        found.probabilities, [recorded[row.image] for row in rows], atol=1e-5
    )


def test_label_that_the_run_does_not_know_is_refused_before_any_photograph_is_read(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tables.read(pictures).rows[:4]
    odd = [Row(row.image, label) for row, label in zip(rows, ("benign", "wart") * 2, strict=True)]
    tables.write(odd, tmp_path / "odd.csv")
    monkeypatch.setattr("dermedge.image.read", lambda path: pytest.fail("was read"))
    with pytest.raises(
        InputError, match="does not know the labels wart; it knows benign, malignant"
    ):
        predict_run(run.folder, tmp_path / "odd.csv", "all", pictures)


def test_full_report_of_a_run_holds_the_figures_of_its_contract(run: Run, tmp_path: Path) -> None:
    found = write_report(run.folder, None, "test", None, tmp_path, resamples=100)
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    recorded = run.contract.provenance.metrics["test"]
    auc = figures["binary"]["auc_delong"]
    assert len(found.table.rows) == recorded["n"] == figures["photographs"]
    if auc["interval"] is not None:  # so few pictures may hold too few of a class
        assert auc["interval"]["value"] == pytest.approx(recorded["auc"]["value"], abs=1e-6)
    point = figures["operating_points"][0]
    assert point["sensitivity"]["value"] == recorded["sensitivity"]["value"]
    assert figures["learnt_from"] == 0
    assert figures["made_up"] == "trained and measured on made-up photographs"
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    trained = sum(row.split == "train" for row in tables.read_rows(run.folder / tables.RUN_TABLE))
    assert f"- **Rows in train**: {trained} photographs" in card


def test_photographs_of_the_training_are_told_apart(run: Run, tmp_path: Path) -> None:
    write_report(run.folder, None, "all", None, tmp_path, resamples=100)
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    rows = tables.read_rows(run.folder / tables.RUN_TABLE)
    assert figures["learnt_from"] == sum(row.split != "test" for row in rows) > 0


def test_folder_that_is_no_run_is_refused(pictures: Path) -> None:
    with pytest.raises(BundleError, match=r"not a finished run \(no contract.json\)"):
        predict_run(pictures, None, "test", None)
