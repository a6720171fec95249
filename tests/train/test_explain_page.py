from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermedge.contract import NOTICE
from dermedge.errors import InputError, TableError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def own(finished, tmp_path_factory: pytest.TempPathFactory):
    """A copy of the finished run, since explaining leaves two files in it."""
    from dermtrain.run import open_run

    folder = tmp_path_factory.mktemp("explain") / "run"
    shutil.copytree(finished[0].folder, folder)
    return open_run(folder)


@pytest.fixture(scope="module")
def photograph(pictures: Path) -> Path:
    return sorted(pictures.rglob("*.jpg"))[0]


@pytest.fixture(scope="module")
def explained(own, photograph: Path):
    from dermtrain.explain.story import Wanted, explain

    return explain(own, photograph, Wanted(similar=4, deletion=3))


@pytest.fixture(scope="module")
def written(explained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dermtrain.explain import page

    return page.write(explained, tmp_path_factory.mktemp("page") / "new").parent


def test_every_picture_and_the_figures_are_there(written: Path) -> None:
    names = ["stages.png", "cam.png", "filters.png", "similar.png", "slices.webp"]
    assert sorted(p.name for p in written.iterdir()) == sorted(
        [*names, "explain.html", "explain.json"]
    )
    for name in names:
        with Image.open(written / name) as picture:
            assert min(picture.size) >= 400
    with Image.open(written / "slices.webp") as moving:
        assert getattr(moving, "n_frames", 1) >= 18  # the photograph and seventeen cuts
    assert (written / "slices.webp").stat().st_size < 2**21


def test_the_page_asks_for_no_other_file_and_no_network(written: Path) -> None:
    text = (written / "explain.html").read_text(encoding="utf-8")
    sources = re.findall(r"(?:src|href|xlink:href)=\"([^\"#][^\"]*)\"", text)
    assert len(sources) == 5
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert "@import" not in text
    assert "<script" not in text


def test_the_page_says_what_it_is_and_that_the_pictures_are_made_up(written: Path) -> None:
    text = (written / "explain.html").read_text(encoding="utf-8")
    assert NOTICE in text
    assert "these figures say nothing about patients" in text
    assert "A map is not a reason" in text


def test_figures_agree_with_the_decision_of_the_run(written: Path, own, photograph: Path) -> None:
    from dermtrain.evaluate import predict_run

    found = json.loads((written / "explain.json").read_text(encoding="utf-8"))
    expected = predict_run(own.folder, None, "all", None)
    number = [Path(row.image).name for row in expected.table.rows].index(photograph.name)
    assert found["probability"] == pytest.approx(expected.probabilities[number], abs=1e-5)
    assert np.mean(found["class_activation_map"]) == pytest.approx(found["log_odds"], abs=1e-4)
    assert found["deletion"]["photographs"] == 3
    assert set(found["deletion"]["minus_random"]) == {
        "class-activation map",
        "Grad-CAM",
        "centre first",
    }
    assert len(found["similar"]) == 4
    assert [s["stage"] for s in found["stages"]] == ["conv1", "conv2", "conv3", "conv4", "conv5"]


def test_a_second_photograph_reuses_what_the_first_one_left(own, explained, pictures: Path) -> None:
    from dermtrain.explain.story import Wanted, explain

    stages: list[str] = []
    other = sorted(pictures.rglob("*.jpg"))[1]
    again = explain(
        own,
        other,
        Wanted(stages=("conv2",), similar=1, deletion=3),
        lambda stage, *_: stages.append(stage),
    )
    assert not stages
    assert [stage.name for stage in again.stages] == ["conv2"]
    assert again.check is not None
    assert again.check.area("random") == explained.check.area("random")


def test_photographs_that_have_moved_leave_their_parts_out_and_it_is_said(
    own, photograph: Path, tmp_path: Path
) -> None:
    from dermtrain.explain import page
    from dermtrain.explain.story import Wanted, explain
    from dermtrain.run import open_run

    folder = tmp_path / "run"
    shutil.copytree(own.folder, folder)
    (folder / "images.txt").write_text(f"{tmp_path / 'gone'}\n")
    moved = open_run(folder)
    found = explain(moved, photograph, Wanted())
    assert not found.similar
    assert found.check is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "similar.png").write_bytes(b"of an earlier photograph")
    text = page.write(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "--images" in text
    assert "Not checked on this page" in text
    assert not (tmp_path / "out" / "similar.png").exists()
    with pytest.raises(TableError):
        explain(moved, photograph, Wanted(images=tmp_path))


def test_without_positive_classes_the_maps_speak_for_the_top_one(own, photograph: Path) -> None:
    from dermtrain.explain.subject import judged, target_name

    terms = own.contract
    neutral = replace(
        terms,
        labels=tuple(replace(label, positive=False) for label in terms.labels),
        decision=replace(terms.decision, uncertain_band=(0.0, terms.decision.threshold)),
    )
    found = judged(own.model(), neutral, photograph)
    top = int(np.argmax(found.logits))
    assert found.target == (top,)
    assert target_name(neutral, found.target) == terms.labels[top].name
    assert found.judgement.probability == pytest.approx(found.probabilities.max())


def test_an_unknown_stage_is_refused_before_any_work() -> None:
    from dermtrain.explain.story import Wanted

    with pytest.raises(InputError, match="conv9"):
        Wanted(stages=("conv9",)).check()
    with pytest.raises(InputError, match="none"):
        Wanted(stages=()).check()


def test_the_command_prints_the_decision_and_the_page(
    own, photograph: Path, tmp_path: Path
) -> None:
    import typer
    from typer.testing import CliRunner

    from dermtrain.cli import add_commands

    app = typer.Typer()
    add_commands(app)
    arguments = ["explain", str(own.folder), str(photograph), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--neighbours", "0", "--deletion", "0", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["image"] == photograph.name
    assert found["deletion"] is None
    assert (tmp_path / "out" / "explain.html").is_file()
