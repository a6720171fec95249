"""A finished run folder: opened, its model and its split taken up again, or refused."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermedge import table as tables
from dermedge.decide import Verdict, decide, positive_probability
from dermedge.errors import BundleError, InputError, TableError
from dermedge.table import Row
from dermtrain import run as runs
from dermtrain.dataset import Pixels
from dermtrain.features import predict
from dermtrain.run import Run, claim, open_run

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def run(finished: tuple[Run, list[str]]) -> Run:
    return open_run(finished[0].folder)


@pytest.fixture
def light(run: Run, tmp_path: Path) -> Path:
    """A copy of the run without its weights, free to change."""
    ignore = shutil.ignore_patterns(runs.WEIGHTS)
    return Path(shutil.copytree(run.folder, tmp_path / "light", ignore=ignore))


def _recorded(run: Run) -> list[dict[str, str]]:
    with (run.folder / runs.PREDICTIONS).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_reopened_model_gives_the_logits_in_predictions_csv(run: Run, prepared: Pixels) -> None:
    numbers = {row.image: number for number, row in enumerate(prepared.table.rows)}
    recorded = _recorded(run)
    rows = np.array([numbers[record["image"]] for record in recorded])
    found = predict(run.model(), prepared.values, rows)
    names = [f"logit_{label.name}" for label in run.contract.labels]
    expected = [[float(record[name]) for name in names] for record in recorded]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_recorded_probabilities_and_decisions_follow_from_the_logits(run: Run) -> None:
    terms = run.contract
    for record in _recorded(run):
        logits = np.array([float(record[f"logit_{label.name}"]) for label in terms.labels])
        temperature = terms.calibration.temperature
        probability = positive_probability(logits, temperature, terms.positive)
        assert float(record["probability"]) == pytest.approx(float(probability), abs=1e-5)
        near = min(abs(probability - x) for x in terms.decision.uncertain_band) < 1e-5
        assert near or Verdict(record["decision"]) == decide(float(probability), terms.decision)


def test_own_table_is_the_split_that_was_used(run: Run, pictures: Path) -> None:
    assert run.table().rows == tables.read(pictures).rows
    assert run.table().root == pictures.resolve()


@pytest.mark.parametrize("fault", ["absent", "another file"])
def test_weights_that_the_contract_does_not_name_are_refused(light: Path, fault: str) -> None:
    if fault == "another file":
        np.savez(light / runs.WEIGHTS, **{"head/bias": np.zeros(2)})  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"weights\.npz is absent or not the file"):
        open_run(light).model()


@pytest.mark.parametrize("missing", [runs.CONTRACT, runs.RECIPE])
def test_unfinished_run_is_not_opened(light: Path, missing: str) -> None:
    (light / missing).unlink()
    with pytest.raises((BundleError, InputError), match=r"contract\.json|recipe"):
        open_run(light)


def test_photographs_that_have_moved_are_missed_clearly_and_found_again_by_images(
    light: Path, pictures: Path
) -> None:
    (light / tables.RUN_IMAGES).write_text("/nowhere/at/all\n")
    moved = open_run(light)
    with pytest.raises(TableError, match="lay in /nowhere/at/all: not there"):
        moved.table()
    assert len(moved.table(images=pictures).rows) == 40


def test_folder_that_lacks_the_photographs_names_some(light: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match=r"40 photographs are not in .*SYN_00001"):
        open_run(light).table(images=tmp_path / "empty")


def test_known_photographs_keep_the_runs_split_in_another_table(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures / "images", tmp_path / "images")
    own = run.table().rows
    shuffled = [replace(row, split="train" if row.split == "test" else "test") for row in own[:20]]
    new = [Row(f"images/new{i}.jpg", "benign", split=s) for i, s in enumerate(("val", "x", ""))]
    for row in new:
        shutil.copy(pictures / own[0].image, tmp_path / row.image)
    tables.write([*shuffled, *new], tmp_path / tables.TABLE)
    found = run.table(tmp_path).rows
    assert [row.split for row in found[:20]] == [row.split for row in own[:20]]
    assert [row.split for row in found[20:]] == ["val", "train", "train"]


def test_run_may_go_to_a_new_or_an_empty_folder(tmp_path: Path) -> None:
    claim(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    claim(tmp_path)


@pytest.mark.parametrize(
    ("occupant", "words"),
    [
        (runs.CONTRACT, "holds a finished run"),
        (runs.JOB, "holds an interrupted run: `kit train --resume"),
        ("holiday.jpg", "is not empty and no run"),
    ],
)
def test_folder_with_something_in_it_is_refused(tmp_path: Path, occupant: str, words: str) -> None:
    (tmp_path / occupant).write_text("")
    with pytest.raises(InputError, match=words):
        claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [occupant]


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file: choose another --out"):
        claim(tmp_path / "run")
