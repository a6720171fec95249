"""`kit train` from the table to the finished run folder, and everything that may stop it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermedge import contract, image
from dermedge import table as tables
from dermedge.decide import probabilities
from dermedge.errors import InputError, TableError
from dermedge.progress import Progress, silent
from dermedge.table import Row
from dermtrain import backbone, recipe, run, weights
from dermtrain.history import History
from dermtrain.job import Job, resume, train
from dermtrain.recipe import Phase, Recipe
from dermtrain.run import Run
from dermtrain.store import Store

pytestmark = pytest.mark.tensorflow

KIT = str(Path(sys.executable).with_name("kit"))
HEAD = Phase("transfer", views=1, patience=1)
HEAD_ONLY = Recipe("head", batch=8, phase=(HEAD,))
TUNED = replace(HEAD_ONLY, phase=(HEAD, Phase("finetune", train="conv5", views=1, epochs=2)))
FILES = {
    "weights.npz",
    "contract.json",
    "recipe.toml",
    "split.csv",
    "images.txt",
    "history.csv",
    "predictions.csv",
    "curves.png",
}


def _silent(line: str) -> None:
    """Nobody listens."""


def _train(job: Job, history: History | None = None, progress: Progress = silent) -> Run:
    # Beside the run folder, which must be empty when the run begins.
    with Store(job.out.parent / "store", 10**9) as store:
        found = train(job, store, history or History(), _silent, progress)
    assert found is not None
    return found


def _interrupt_at(stage: str) -> Progress:
    """Ctrl-C in the middle of a stage."""

    def progress(name: str, done: int, total: int) -> None:
        if name.startswith(stage) and done > total // 2:
            raise KeyboardInterrupt

    return progress


def _records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def job(pictures: Path, weight_file: Path, tmp_path: Path) -> Job:
    """As little training as there can be."""
    return Job(pictures, tmp_path / "run", HEAD_ONLY, str(weight_file), ("malignant",), 64, 0)


def test_leaves_a_whole_run_folder_and_no_cache(finished: tuple[Run, list[str]]) -> None:
    folder = finished[0].folder
    assert {path.name for path in folder.iterdir()} == FILES
    terms = contract.load(folder / run.CONTRACT)
    assert terms.model == contract.Model("weights.npz", run.sha256(folder / "weights.npz"), "keras")
    assert (terms.input.height, terms.input.width) == (64, 64)
    assert [(label.name, label.positive) for label in terms.labels] == [
        ("benign", False),
        ("malignant", True),
    ]
    assert terms.provenance.made_up
    assert terms.provenance.licence == "CC0-1.0"
    assert terms.provenance.recipe == "quick"
    assert terms.provenance.split == "as given by the table"
    assert terms.provenance.weights.startswith("up_to_conv4.npz: filled conv1 (2)")
    assert recipe.load(Recipe, str(folder / "recipe.toml"), folder) == finished[0].recipe


def test_says_what_was_filled_where_the_net_is_cut_and_how_the_table_was_split(
    finished: tuple[Run, list[str]],
) -> None:
    filled, frozen, split = finished[1]
    assert "at random: conv5 (20), head (1)" in filled
    assert frozen == "devices: 1 CPU, float32"
    assert split.startswith("split: as given by the table; train 24 (")


def test_history_holds_both_phases_and_the_curves_are_a_picture(
    finished: tuple[Run, list[str]],
) -> None:
    folder = finished[0].folder
    phases = [record["phase"] for record in _records(folder / run.HISTORY)]
    assert phases[0] == "transfer"
    assert phases[-2:] == ["finetune", "finetune"]
    assert image.read(folder / run.CURVES).shape[1] > 1000


def test_predictions_are_of_validation_and_test_only(finished: tuple[Run, list[str]]) -> None:
    folder = finished[0].folder
    found = {(r["image"], r["split"], r["label"]) for r in _records(folder / run.PREDICTIONS)}
    rows = tables.read_rows(folder / tables.RUN_TABLE)
    assert found == {(r.image, r.split, r.label) for r in rows if r.split in ("val", "test")}


def test_weights_that_fill_the_whole_net_are_gone_on_with(
    finished: tuple[Run, list[str]], job: Job
) -> None:
    """As those of another run do: there is nothing to warm up, and the head stands alone."""
    source = finished[0].folder / "weights.npz"
    found = _train(replace(job, weights=str(source)))
    old, new = weights.read(source), weights.read(found.folder / "weights.npz")
    kernels = [name for name in old if "kernel" in old[name]]
    moved = {n for n in kernels if not np.array_equal(old[n]["kernel"], new[n]["kernel"])}
    assert {backbone.stage_of(name) for name in moved} == {"head"}


@pytest.mark.parametrize("stage", ["photographs", "features at conv4", "finetune"])
def test_interrupted_at_any_stage_it_leaves_no_contract_and_goes_on_when_told(
    job: Job, stage: str
) -> None:
    job = replace(job, recipe=TUNED)
    with pytest.raises(KeyboardInterrupt):
        _train(job, progress=_interrupt_at(stage))
    assert not (job.out / run.CONTRACT).exists()
    assert not [path for path in job.out.rglob("*") if ".tmp" in path.name]
    with pytest.raises(InputError, match="holds an interrupted run: `kit train --resume"):
        _train(job)
    _train(resume(job.out))
    assert {path.name for path in job.out.iterdir()} == FILES
    with pytest.raises(InputError, match="holds a finished run"):
        _train(job)
    with pytest.raises(InputError, match="is finished: there is nothing to resume"):
        resume(job.out)


def test_resumed_after_any_epoch_the_history_is_that_of_an_uninterrupted_run(job: Job) -> None:
    phases = (
        replace(TUNED.phase[1], average=0.9, learning_rate=1e-3),
        Phase("below", train="conv4_block6", source="pixels", epochs=2, balance="draw"),
    )
    job = replace(job, recipe=replace(TUNED, phase=(HEAD, *phases)))
    whole = History()
    _train(replace(job, out=job.out.with_name("whole")), whole)

    class StoppedError(Exception):
        """Kills the run after an epoch."""

    for _ in range(len(whole.entries)):  # stopped in the epoch after every single one
        history = History()
        task = resume(job.out) if (job.out / run.JOB).exists() else job
        try:
            _train(task, history, _stop_after_an_epoch(history, StoppedError))
            break
        except StoppedError:
            continue
    found = _records(job.out / run.HISTORY)
    assert [(r["phase"], int(r["epoch"])) for r in found] == [
        (e.phase, e.epoch) for e in whole.entries
    ]
    for record, entry in zip(found, whole.entries, strict=True):
        for name in ("learning_rate", "val_loss", "val_auc"):
            assert float(record[name]) == pytest.approx(getattr(entry, name), abs=1e-5)


def _stop_after_an_epoch(history: History, stopped: type[Exception]) -> Progress:
    """Stop in the first step after a new epoch has been recorded."""
    known = 0

    def progress(name: str, done: int, total: int) -> None:
        nonlocal known
        epochs = sum(entry.phase != "transfer" and entry.epoch > 0 for entry in history.entries)
        if done == 1 and ", epoch " in name and known == 0:
            known = epochs + 1
        if known and epochs >= known:
            raise stopped

    return progress


def test_other_photographs_are_not_gone_on_with(job: Job, pictures: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    job = replace(job, data=data, recipe=TUNED)
    with pytest.raises(KeyboardInterrupt):
        _train(job, progress=_interrupt_at("finetune"))
    first = next(iter(tables.read(data).rows))
    shutil.copy(data / tables.read(data).rows[1].image, data / first.image)
    with pytest.raises(InputError, match="have changed since the run began"):
        _train(resume(job.out))


def test_folder_without_a_run_can_not_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no interrupted run"):
        resume(tmp_path)


@pytest.fixture(scope="module")
def class_folders(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes as folders: the malignant ones, and the benign ones in two halves."""
    folder = tmp_path_factory.mktemp("classes")
    for number, row in enumerate(tables.read(pictures).rows):
        name = "melanoma" if row.label == "malignant" else ("keratosis", "nevus")[number % 2]
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(pictures / row.image, folder / name)
    return folder


def test_class_folders_with_two_positive_classes_of_three(
    class_folders: Path, tmp_path: Path
) -> None:
    job = Job(
        *(class_folders, tmp_path / "run", HEAD_ONLY, "none", ("melanoma", "keratosis"), 32, 1)
    )
    found = _train(job)
    terms = found.contract
    assert [label.name for label in terms.labels] == ["keratosis", "melanoma", "nevus"]
    assert terms.positive == (0, 1)
    assert terms.provenance.split.startswith("drawn by near-duplicate (40 photographs)")
    assert not terms.provenance.made_up
    assert {row.split for row in found.table().rows} == {"train", "val", "test"}
    for record in _records(job.out / run.PREDICTIONS):
        logits = [float(record[f"logit_{label.name}"]) for label in terms.labels]
        share = probabilities(np.array(logits), terms.calibration.temperature)
        assert float(record["probability"]) == pytest.approx(share[0] + share[1], abs=1e-5)


@pytest.mark.parametrize(
    "positive", [("melanoma",), ("benign", "malignant"), ("malignant", "wart")]
)
def test_positive_classes_that_are_unknown_or_all_are_refused(
    job: Job, positive: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=r"which classes count as positive\?.*benign, malignant"):
        _train(replace(job, positive=positive))
    assert not job.out.exists()


TABLES = {
    "no label": ([Row("a.jpg", ""), Row("b.jpg", "benign")], "image or label is empty: row 2"),
    "one class": ([Row("a.jpg", "benign"), Row("b.jpg", "benign")], "only one class"),
    "twice": ([Row("a.jpg", "benign"), Row("./a.jpg", "malignant")], "duplicate rows"),
    "outside": ([Row("../a.jpg", "benign"), Row("b.jpg", "malignant")], "lead outside"),
    "absent": ([Row("a.jpg", "benign"), Row("x.jpg", "malignant")], "1 photographs are not in"),
    "no rows": ([], "has no rows"),
    "torn patient": (
        [
            Row("a.jpg", "benign", patient_id="P", split="train"),
            Row("b.jpg", "malignant", patient_id="P", split="test"),
        ],
        "same patient in two splits",
    ),
    "too few": ([Row("a.jpg", "benign"), Row("b.jpg", "malignant")], "too few patients"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_table_that_can_not_be_learnt_from_is_refused_and_nothing_is_written(
    job: Job, pictures: Path, tmp_path: Path, fault: str
) -> None:
    rows, words = TABLES[fault]
    (tmp_path / "data").mkdir()
    for name, row in zip(("a.jpg", "b.jpg"), tables.read(pictures).rows, strict=False):
        shutil.copy(pictures / row.image, tmp_path / "data" / name)
    tables.write(rows, tmp_path / "data" / "labels.csv")
    with pytest.raises(TableError, match=words):
        _train(replace(job, data=tmp_path / "data", weights="none", size=32))
    assert not job.out.exists()


def test_unreadable_photographs_are_named_and_no_contract_is_written(
    job: Job, pictures: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    (data / "images" / "SYN_00007.jpg").write_text("a text file named .jpg")
    with pytest.raises(InputError, match=r"1 photographs: .*SYN_00007\.jpg is not a readable"):
        _train(replace(job, data=data))
    assert {path.name for path in job.out.iterdir()} == {
        *("recipe.toml", "split.csv", "images.txt", "job.json")
    }


def _kit(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [KIT, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def test_help_shows_an_example_and_needs_no_data() -> None:
    done = _kit("train", "--help")
    assert done.returncode == 0
    assert "Example:\n    kit train photos/ --out runs/first" in done.stdout
    for option in ("--out", "--weights", "--positive", "--image-size", "--resplit", "--json"):
        assert option in done.stdout


def test_made_up_set_is_drawn_by_the_command(tmp_path: Path) -> None:
    done = _kit("data", "synth", tmp_path / "set", "--images", 12, "--seed", 3)
    assert done.returncode == 0
    assert all(line.startswith("drawing: ") for line in done.stderr.splitlines())
    assert "12 made-up pictures" in done.stdout
    assert len(tables.read(tmp_path / "set").rows) == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "nonsense"], "no recipe 'nonsense'; shipped: default, head, scratch"),
        (["--weights", "absent.npz"], "absent.npz: no such weight file"),
        (["--positive", "wart"], "which classes count as positive? wart does not fit"),
    ],
)
def test_wrong_option_is_one_line_and_exit_code_4(
    pictures: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = _kit("train", pictures, "--out", tmp_path / "run", "--image-size", 32, *arguments)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"kit: {words}")
    assert done.stderr.count("kit: ") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("after", ["weights none", "transfer", "finetune"])
def test_ctrl_c_ends_with_one_line_exit_code_130_and_nothing_half_written(
    pictures: Path, tmp_path: Path, after: str
) -> None:
    out = tmp_path / "run"
    recipe_file = tmp_path / "long.toml"
    recipe_file.write_text(
        'batch = 8\n[[phase]]\nname = "transfer"\nviews = 1\n[[phase]]\nname = "finetune"\n'
        'train = "conv5"\nviews = 1\nepochs = 500\npatience = 500\n'
    )
    arguments = ["--weights", "none", "--image-size", "32", "--recipe", str(recipe_file)]
    arguments += ["--cache", str(tmp_path / "cache")]
    with subprocess.Popen(
        [KIT, "train", str(pictures), "--out", str(out), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith(after):
                os.kill(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=120) == 130, "".join(lines) + rest
    told = [line for line in rest.splitlines() if line.startswith("kit: ")]
    assert told == ["kit: stopped; nothing was left half-written"]
    assert rest.splitlines()[-1] == told[0]
    assert "Traceback" not in rest
    assert not (out / "contract.json").exists()
    assert not [path for path in out.rglob("*") if ".tmp" in path.name]


def test_trained_from_the_command_line_json_is_all_there_is_on_standard_output(
    pictures: Path, weight_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "head.toml").write_text('[[phase]]\nname = "transfer"\npatience = 1\n')
    arguments = ["--weights", weight_file, "--image-size", 64, "--recipe", tmp_path / "head.toml"]
    arguments += ["--cache", tmp_path / "cache"]
    done = _kit("train", pictures, "--out", tmp_path / "run", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["run"] == str(tmp_path / "run")
    metrics = contract.load(tmp_path / "run" / "contract.json").provenance.metrics
    assert printed["test"] == metrics["test"]
