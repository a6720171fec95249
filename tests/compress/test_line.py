"""`kit compress` from a run to two bundles, and what an interruption or a full disk leaves."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from dermcompress import line, recipe, steps
from dermedge import atomic, table
from dermedge.bundle import open_bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError, InputError, StorageError, TableError
from dermedge.predictions import figures_of, predict
from dermtrain import job, synthetic
from dermtrain.history import History
from dermtrain.recipe import Phase, Recipe
from dermtrain.store import Store

pytestmark = pytest.mark.tensorflow
RECIPE = recipe.CompressRecipe(
    "tests", keep=0.75, photographs=24, views=1, distil_epochs=1, learning_rate=1e-5
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 96 made-up pictures at 64 pixels, its head trained on random features."""
    folder = tmp_path_factory.mktemp("line")
    synthetic.make_set(folder / "pictures", images=96, seed=1, size=96)
    how = Recipe("tests", phase=(Phase("transfer", views=1),))
    what = job.Job(folder / "pictures", folder / "run", how, "none", (), 64, 0)
    with Store(folder / "store", 10**9) as store:
        job.train(what, store, History(), note=lambda _: None)
    return folder / "run"


@pytest.fixture(scope="module")
def result(run: Path) -> line.Result:
    """The run, compressed."""
    return line.compress(line.Job(run, run / "bundles", RECIPE), listener=lambda _: None)


def test_every_step_changes_the_model_and_is_measured(result: line.Result) -> None:
    by_name = {step.name: step for step in result.steps}
    assert list(by_name) == ["full", "slim", "distil", "sparsify", "int8"]
    assert by_name["slim"].macs < 0.8 * by_name["full"].macs
    assert by_name["distil"].zeros < 0.01
    assert by_name["sparsify"].zeros == pytest.approx(0.5, abs=0.02)
    assert by_name["int8"].zeros == pytest.approx(0.5, abs=0.02)
    assert by_name["full"].agreement == pytest.approx(1, abs=1e-3)
    assert len({step.agreement for step in result.steps}) > 3
    saved = json.loads((result.small.parent / line.STEPS).read_text(encoding="utf-8"))
    assert [step["name"] for step in saved] == list(by_name)


def test_bundles_run_in_the_edge_runtime_and_tell_the_truth_about_themselves(
    result: line.Result, run: Path
) -> None:
    for path in (result.full, result.small):
        bundle = open_bundle(path)
        predictions = predict(Diagnostician(bundle), table.read(run).part("test"))
        promised = bundle.contract.provenance.metrics["test"]["auc"]["value"]
        assert figures_of(predictions).auc.value == pytest.approx(promised, abs=0.03)
        assert bundle.contract.provenance.made_up
        assert "made-up" in bundle.card
        assert "not a medical device" in bundle.card
    assert (
        open_bundle(result.small).contract.calibration
        != open_bundle(result.full).contract.calibration
    )
    assert result.small.stat().st_size < 0.25 * result.full.stat().st_size


def test_nothing_but_bundles_and_steps_is_left(result: line.Result) -> None:
    left = {path.name for path in result.small.parent.iterdir()}
    assert left == {line.FLOAT, line.SMALL, line.STEPS}


def test_interrupted_after_slimming_it_goes_on_from_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = line.Job(run, tmp_path / "out", RECIPE)
    seen: list[steps.Step] = []

    def stop_after_slim(step: steps.Step) -> None:
        seen.append(step)
        if step.name == "slim":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        line.compress(what, listener=stop_after_slim)
    assert not (tmp_path / "out" / line.SMALL).exists()
    monkeypatch.setattr(line, "slim", lambda *_: pytest.fail("slimmed again"))
    monkeypatch.setattr(line, "mimic", lambda *_: None)
    again = line.compress(what, listener=lambda _: None)
    slim = next(step for step in again.steps if step.name == "slim")
    assert slim.agreement == pytest.approx(seen[-1].agreement, abs=1e-6)


def test_full_disk_during_export_leaves_nothing_half_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        if path.suffix == ".kit":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_sync", full)
    with pytest.raises(StorageError, match="No space left"):
        line.compress(line.Job(run, tmp_path / "out", RECIPE), listener=lambda _: None)
    assert not list((tmp_path / "out").glob("*.kit*"))
    assert not [path for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a finished run"):
        line.compress(line.Job(tmp_path, tmp_path / "out", RECIPE), listener=lambda _: None)


def test_moved_photographs_are_named_and_can_be_given_anew(run: Path, tmp_path: Path) -> None:
    where = (run / table.RUN_IMAGES).read_text(encoding="utf-8")
    (run / table.RUN_IMAGES).write_text(str(tmp_path / "gone"), encoding="utf-8")
    try:
        with pytest.raises(TableError, match="gone"):
            line.compress(line.Job(run, tmp_path / "out", RECIPE), listener=lambda _: None)
        assert table.read(run, Path(where.strip())).rows
    finally:
        (run / table.RUN_IMAGES).write_text(where, encoding="utf-8")


def test_too_few_photographs_for_a_batch_are_refused(run: Path, tmp_path: Path) -> None:
    greedy = recipe.CompressRecipe("greedy", batch=1000)
    with pytest.raises(InputError, match="fewer training photographs"):
        line.compress(line.Job(run, tmp_path / "out", greedy), listener=lambda _: None)


def test_shipped_recipes_are_valid_and_reach_the_net() -> None:
    for name in ("default", "demo"):
        found = recipe.load(name)
        assert found.name == name
        assert 0 < found.keep < 1
    assert np.isfinite(recipe.load("default").learning_rate)
