"""Prepared pixels: the runtime's own preparation, done once, never half."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dermedge import image, quality
from dermedge import table as tables
from dermedge.contract import Input
from dermedge.errors import InputError
from dermedge.prepare import prepare
from dermedge.table import Row, Table
from dermtrain.dataset import Pixels, prepare_table, targets

SPEC = Input(48, 40)


@pytest.fixture
def own(pictures: Path, tmp_path: Path) -> Table:
    """The first twelve photographs in a folder that a test may change."""
    shutil.copytree(pictures, tmp_path / "own")
    whole = tables.read(tmp_path / "own")
    return Table(whole.source, whole.root, whole.rows[:12])


def _no_reading(path: Path) -> None:
    pytest.fail(f"{path} was read")


def test_pixels_and_quality_figures_are_those_of_the_runtime(own: Table, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = prepare_table(own, SPEC, tmp_path / "cache", lambda *step: told.append(step))
    assert found.values.dtype == np.uint8
    for row, pixels, figures in zip(own.rows, found.values, found.figures, strict=True):
        photograph = image.read(own.path(row))
        np.testing.assert_array_equal(pixels, prepare(photograph, SPEC)[0])
        assert figures == quality.measure(photograph)
    assert told == [("photographs", done, 12) for done in range(1, 13)]


def test_second_call_reads_no_photograph(
    own: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare_table(own, SPEC, tmp_path / "cache")
    monkeypatch.setattr(image, "read", _no_reading)
    second = prepare_table(own, SPEC, tmp_path / "cache")
    np.testing.assert_array_equal(first.values, second.values)
    assert (first.key, first.figures) == (second.key, second.figures)


@pytest.mark.parametrize("what", ["photograph", "order", "preparation"])
def test_what_changes_the_pixels_is_prepared_anew(own: Table, tmp_path: Path, what: str) -> None:
    first = prepare_table(own, SPEC, tmp_path / "cache")
    table, spec = own, SPEC
    if what == "photograph":
        path = own.path(own.rows[3])
        cv2.imwrite(str(path), 255 - image.read(path)[:, :, ::-1])
        os.utime(path, ns=(1, 1))
    elif what == "order":
        table = Table(own.source, own.root, own.rows[::-1])
    else:
        spec = Input(48, 40, resize="crop")
    second = prepare_table(table, spec, tmp_path / "cache")
    assert second.key != first.key
    for row, pixels in zip(table.rows, second.values, strict=True):
        np.testing.assert_array_equal(pixels, prepare(image.read(table.path(row)), spec)[0])


def test_all_unreadable_photographs_are_counted_and_the_first_are_named(
    own: Table, tmp_path: Path
) -> None:
    bad = [own.rows[i] for i in (0, 2, 3, 5, 7, 11)]
    for row in bad:
        own.path(row).write_text("a text file named .jpg")
    with pytest.raises(InputError, match=r"^6 photographs: ") as caught:
        prepare_table(own, SPEC, tmp_path / "cache")
    named = [row.image in str(caught.value) for row in bad]
    assert named == [True] * 5 + [False]
    assert str(caught.value).endswith("and 1 more")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, MemoryError])
def test_killed_midway_leaves_nothing_in_the_cache(
    own: Table, tmp_path: Path, interrupt: type[BaseException]
) -> None:
    def stop_at_five(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise interrupt

    with pytest.raises(interrupt):
        prepare_table(own, SPEC, tmp_path / "cache", stop_at_five)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(prepare_table(own, SPEC, tmp_path / "cache").values) == 12


def test_photographs_of_every_kind_become_rgb(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (30, 20), np.uint8)
    kinds = {
        "grey.png": Image.fromarray(grey),
        "alpha.png": Image.fromarray(random.integers(0, 256, (30, 20, 4), np.uint8), "RGBA"),
        "cmyk.jpg": Image.fromarray(random.integers(0, 256, (30, 20, 4), np.uint8), "CMYK"),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 256),
        "one.png": Image.fromarray(grey[:1, :1]),
    }
    for name, picture in kinds.items():
        picture.save(tmp_path / name)
    table = Table(tmp_path, tmp_path, tuple(Row(name, "benign") for name in kinds))
    found = prepare_table(table, SPEC, tmp_path / "cache")
    assert found.values.shape == (5, 48, 40, 3)
    one = int(grey[0, 0])
    assert (found.values[4] == one).all()


def test_rows_of_a_split_and_targets_follow_the_table(prepared: Pixels) -> None:
    table = prepared.table
    parts = [prepared.rows(name) for name in ("train", "val", "test")]
    assert sorted(np.concatenate(parts)) == list(range(len(table.rows)))
    assert all(table.rows[i].split == "val" for i in parts[1])
    numbers = targets(table, ("malignant", "benign"))
    assert [("malignant", "benign")[n] for n in numbers] == [row.label for row in table.rows]


def test_label_that_the_model_does_not_know_is_named(prepared: Pixels) -> None:
    with pytest.raises(InputError, match="unknown label malignant; the model knows benign, nevus"):
        targets(prepared.table, ("benign", "nevus"))
