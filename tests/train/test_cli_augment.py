"""`kit data augment`: one picture that shows what a recipe does to photographs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dermedge import image
from dermedge.contract import NOTICE
from dermedge.errors import ImageError, InputError, StorageError
from dermtrain import contact, gallery
from dermtrain.augment import Augment
from dermtrain.cli_data import app
from dermtrain.contact import Section


@pytest.fixture(scope="module")
def one(pictures: Path) -> Path:
    return image.find(pictures)[0]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["augment", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_it_writes_the_picture_and_says_what_is_on_it(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "augment.png"
    said = run(one, "--out", out, "--draws", 7, "--image-size", 64)
    assert said.splitlines()[-1] == str(out)
    assert "7 draws" in said
    assert image.read(out).shape[1] > 1000
    assert [path.name for path in out.parent.iterdir()] == ["augment.png"]


def test_the_seed_decides(one: Path, tmp_path: Path) -> None:
    data = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"{number}.png"
        run(one, "--out", out, "--draws", 3, "--image-size", 48, "--seed", seed)
        data.append(out.read_bytes())
    assert data[0] == data[1]
    assert data[0] != data[2]


def test_corruptions_are_shown_in_rows(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "corruptions.png"
    assert "15 corruptions in 5 severities" in run(
        one, "--corruptions", "--out", out, "--image-size", 48
    )
    height, width = image.read(out).shape[:2]
    assert height > 15 * 160
    assert width == 8 + 6 * (160 + 8)


def test_what_can_not_be_done_is_said(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "augment.png"
    with pytest.raises(ImageError, match="can't be read"):
        run(tmp_path / "none.jpg", "--out", out)
    with pytest.raises(InputError, match="no recipe 'none'; shipped"):
        run(one, "--recipe", "none", "--out", out)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not be written"):
        run(one, "--out", tmp_path / "file" / "augment.png", "--image-size", 48)
    assert not out.exists()


def test_a_sheet_names_what_the_recipe_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, tuple[Section, ...]]] = []
    monkeypatch.setattr(
        contact, "draw", lambda _, title, parts, **__: drawn.append((title, tuple(parts)))
    )
    how = Augment(hair=0, hue=0, side=40)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert gallery.augmentation(tmp_path / "x.png", pixels, "mole.jpg", how, 4).endswith("4 draws")
    title, (alone, all_at_once) = drawn[0]
    assert "mole.jpg" in title
    assert alone.note.endswith("left out by the recipe: hue up, hue down, hair.")
    captions = [caption for caption, _ in alone.tiles]
    assert captions[0] == "the photograph"
    assert "rotation\nrotate = 45" in captions
    assert not any("hair" in caption for caption in captions)
    assert {picture.shape for _, picture in all_at_once.tiles} == {(40, 40, 3)}


def test_a_sheet_holds_every_picture_and_the_notice(tmp_path: Path) -> None:
    plain = [np.full((30, 30, 3), 40 * n, np.uint8) for n in range(1, 6)]
    section = Section("heading", "note", [(f"number {n}", p) for n, p in enumerate(plain)])
    contact.draw(tmp_path / "with.png", "title", [section], columns=2, tile=30)
    sheet = image.read(tmp_path / "with.png")
    for value in range(40, 201, 40):
        assert (sheet == value).all(axis=2).sum() >= 900
    # The foot carries dark letters.
    assert NOTICE
    assert (sheet[-52:] < 160).any()


def test_pictures_larger_than_a_tile_are_shrunk_and_smaller_ones_stay(tmp_path: Path) -> None:
    red = np.full((90, 60, 3), (250, 0, 0), np.uint8)
    blue = np.full((10, 12, 3), (0, 0, 250), np.uint8)
    contact.draw(tmp_path / "x.png", "", [Section("", "", [("", red), ("", blue)])], 2, 30)
    sheet = image.read(tmp_path / "x.png")
    assert (sheet == (250, 0, 0)).all(axis=2).sum() == 30 * 20
    assert (sheet == (0, 0, 250)).all(axis=2).sum() == 10 * 12


def test_the_command_imports_no_numpy_until_it_runs() -> None:
    code = "import sys, dermtrain.cli_augment; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_photographs_stay_skin_coloured(real_data: Path) -> None:
    """In skin, red exceeds green and green exceeds blue or nearly so: also after the change."""
    from dermtrain.augment import augment

    random = np.random.default_rng(0)
    how = Augment(constancy=0)
    for path in image.find(real_data / "pad-ufes-20" / "images")[::40]:
        pixels = np.asarray(cv2.resize(image.read(path), (128, 128)), np.uint8)
        red, green, blue = pixels.reshape(-1, 3).mean(0)
        for _ in range(5):
            r, g, b = augment(pixels, how, random).reshape(-1, 3).mean(0)
            assert (r > g) == (red > green)
            assert b - g < max(0, blue - green) + 12
