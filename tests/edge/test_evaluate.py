"""`kit evaluate BUNDLE DATA` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dermedge import image, table
from dermedge.bundle import open_bundle
from dermedge.cli_evaluate import evaluate
from dermedge.diagnose import Diagnostician
from dermedge.errors import MissingError


def kit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dermedge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 small pictures in two splits, darker ones more often malignant."""
    folder = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(0)
    rows = []
    for i in range(24):
        level = random.normal(110 if i % 2 else 150, 40, 3)
        pixels = np.clip(random.normal(level, 12, (70, 80, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), pixels)
        split = "test" if i < 16 else "val"
        rows.append(table.Row(f"{i:02}.png", ("benign", "malignant")[i % 2], split=split))
    table.write(rows, folder / table.TABLE)
    return folder


def test_auc_is_scikit_learns_on_the_very_same_scores(labelled: Path, tiny_bundles) -> None:
    done = kit("evaluate", tiny_bundles[1], labelled, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    doctor = Diagnostician(open_bundle(tiny_bundles[1]))
    part = table.read(labelled).part("test")
    scores = [doctor.diagnose(image.read(part.path(r))).probability for r in part.rows]
    truth = [row.label == "malignant" for row in part.rows]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found["n"] == 16


def test_plain_table_carries_the_notice_and_made_up(labelled: Path, tiny_bundles) -> None:
    done = kit("evaluate", tiny_bundles[1], labelled, "--split", "all")
    assert done.returncode == 0
    assert "AUC" in done.stdout
    assert "not a medical device" in done.stderr
    assert "made-up" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--split", "train"), 4, "no rows in split 'train'"),
        (("--split", "all", "--images", "/nowhere"), 4, "are not in /nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    labelled: Path, tiny_bundles, arguments: tuple, code: int, words: str
) -> None:
    done = kit("evaluate", tiny_bundles[1], labelled, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_label_is_named(labelled: Path, tiny_bundles, tmp_path: Path) -> None:
    rows = [
        table.Row(r.image, r.label.replace("benign", "mole")) for r in table.read(labelled).rows
    ]
    table.write(rows, tmp_path / "odd.csv")
    done = kit("evaluate", tiny_bundles[1], tmp_path / "odd.csv", "--images", labelled)
    assert done.returncode == 4
    assert "mole" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_without_data_asks_for_some(tiny_bundles) -> None:
    done = kit("evaluate", tiny_bundles[1])
    assert done.returncode == 4
    assert "kit evaluate BUNDLE DATA" in done.stderr


def test_options_of_the_full_report_need_its_folder(labelled: Path, tiny_bundles) -> None:
    done = kit("evaluate", tiny_bundles[1], labelled, "--bootstrap", 500, "--views", 2)
    assert done.returncode == 4
    assert "--bootstrap, --views: for the full report only; add --out FOLDER" in done.stderr


def test_full_report_without_the_training_package_says_what_to_install(
    labelled: Path, tiny_bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(MissingError, match=r"pip install 'dermkit\[train\]'"):
        evaluate(tiny_bundles[1], labelled, out=tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
