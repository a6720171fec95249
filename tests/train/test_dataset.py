"""Prepared pixels: the runtime's own preparation, done once, never half."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dermedge import image, quality
from dermedge import table as tables
from dermedge.contract import Input
from dermedge.errors import InputError, StorageError
from dermedge.prepare import prepare, view
from dermedge.table import Row, Table
from dermtrain import shards
from dermtrain.dataset import Pixels, missing_bytes, prepare_table, targets

SPEC = Input(48, 40)


# Twelve photographs in shards of four; kill -9 where a file would be moved into its place.
KILL = """
import os, signal, sys
from pathlib import Path
from dermedge import table
from dermedge.contract import Input
from dermtrain import dataset, shards
shards.PHOTOGRAPHS, left, move = 4, int(sys.argv[3]), os.replace
def replace(*given, **how):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    move(*given, **how)
os.replace = replace
whole = table.read(Path(sys.argv[1]))
dataset.prepare_table(
    table.Table(whole.source, whole.root, whole.rows[:12]), Input(48, 40), Path(sys.argv[2])
)
"""
# Prepare a folder of photographs, read them all in random batches; then the peak, MiB.
PEAK = """
import sys
from pathlib import Path
import numpy as np
from dermedge import image, probe
from dermedge.contract import Input
from dermedge.table import Row, Table
from dermtrain.dataset import prepare_table
folder = Path(sys.argv[1])
rows = tuple(Row(path.name, "x") for path in image.find(folder))
pixels = prepare_table(Table(folder, folder, rows), Input(299, 299), Path(sys.argv[2]))
shuffled = np.random.default_rng(0).permutation(len(rows))
for start in range(0, len(rows), 32):
    pixels.values[shuffled[start : start + 32]]
print(len(rows), int(probe._peak_mib()))
"""


@pytest.fixture
def own(pictures: Path, tmp_path: Path) -> Table:
    """The first twelve photographs in a folder that a test may change."""
    shutil.copytree(pictures, tmp_path / "own")
    whole = tables.read(tmp_path / "own")
    return Table(whole.source, whole.root, whole.rows[:12])


@pytest.fixture
def fours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of four photographs."""
    monkeypatch.setattr(shards, "PHOTOGRAPHS", 4)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photographs that are read from now on."""
    names, read = [], image.read

    def counted(path: Path) -> image.RGB:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(image, "read", counted)
    return names


def _names(table: Table, *numbers: int) -> list[str]:
    return sorted(Path(table.rows[i].image).name for i in numbers)


def _right(table: Table, found: Pixels, spec: Input = SPEC) -> None:
    """Everything is as the runtime itself would prepare and measure it."""
    for row, pixels, figures in zip(table.rows, found.values, found.figures, strict=True):
        photograph = image.read(table.path(row))
        np.testing.assert_array_equal(pixels, prepare(photograph, spec)[0])
        assert figures == quality.measure(photograph, view(photograph, spec))


def _no_reading(path: Path) -> None:
    pytest.fail(f"{path} was read")


def test_pixels_and_quality_figures_are_those_of_the_runtime(own: Table, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = prepare_table(own, SPEC, tmp_path / "cache", lambda *step: told.append(step))
    assert found.values.dtype == np.uint8
    _right(own, found)
    assert told == [("photographs", done, 12) for done in range(1, 13)]


def test_second_call_checks_the_shards_and_reads_no_photograph(
    own: Table, tmp_path: Path, fours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare_table(own, SPEC, tmp_path / "cache")
    monkeypatch.setattr(image, "read", _no_reading)
    told: list[tuple[str, int, int]] = []
    second = prepare_table(own, SPEC, tmp_path / "cache", lambda *step: told.append(step))
    np.testing.assert_array_equal(first.values, second.values)
    assert (first.key, first.figures) == (second.key, second.figures)
    assert told == [("checksums", done, 3) for done in (1, 2, 3)]


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
    _right(table, second, spec)


def test_only_the_shard_of_a_changed_photograph_is_made_anew(
    own: Table, tmp_path: Path, fours: None, reads: list[str]
) -> None:
    prepare_table(own, SPEC, tmp_path / "cache")
    os.utime(own.path(own.rows[5]), ns=(1, 1))
    reads.clear()
    told: list[tuple[str, int, int]] = []
    found = prepare_table(own, SPEC, tmp_path / "cache", lambda *step: told.append(step))
    assert sorted(reads) == _names(own, 4, 5, 6, 7)
    assert told[-4:] == [("photographs", done, 12) for done in (9, 10, 11, 12)]
    _right(own, found)


def test_photographs_added_at_the_end_cost_the_last_shard_only(
    own: Table, tmp_path: Path, fours: None, reads: list[str]
) -> None:
    fewer = replace(own, rows=own.rows[:10])
    prepare_table(fewer, SPEC, tmp_path / "cache")
    reads.clear()
    found = prepare_table(own, SPEC, tmp_path / "cache")
    assert sorted(reads) == _names(own, 8, 9, 10, 11)
    _right(own, found)


@pytest.mark.parametrize("ending", ["npy", "json"])
def test_a_damaged_shard_is_made_anew(
    own: Table, tmp_path: Path, fours: None, reads: list[str], ending: str
) -> None:
    cache = tmp_path / "cache"
    first = prepare_table(own, SPEC, cache)
    path = min(cache.glob(f"*.{ending}"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    reads.clear()
    second = prepare_table(own, SPEC, cache)
    assert len(reads) == 4
    assert second.key == first.key
    _right(own, second)


def test_photographs_of_the_same_name_size_and_time_in_another_folder_are_others(
    own: Table, tmp_path: Path
) -> None:
    prepare_table(own, SPEC, tmp_path / "cache")
    other = Table(own.source, tmp_path / "other", own.rows)
    shutil.copytree(own.root, other.root)  # times are kept
    for row, source in zip(own.rows, own.rows[::-1], strict=True):
        found = own.path(row).stat()
        picture = image.read(own.path(source))
        ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 10])
        assert ok
        # What follows the end of a JPEG does not count: pad to the other's size.
        other.path(row).write_bytes(data.tobytes().ljust(found.st_size, b"0"))
        os.utime(other.path(row), ns=(found.st_atime_ns, found.st_mtime_ns))
        assert other.path(row).stat().st_size == found.st_size
    _right(other, prepare_table(other, SPEC, tmp_path / "cache"))


def test_missing_bytes_are_those_of_the_shards_that_are_not_there(
    own: Table, tmp_path: Path, fours: None
) -> None:
    cache = tmp_path / "cache"
    assert missing_bytes(own, SPEC, cache) == 12 * 48 * 40 * 3
    prepare_table(replace(own, rows=own.rows[:8]), SPEC, cache)
    assert missing_bytes(own, SPEC, cache) == 4 * 48 * 40 * 3
    prepare_table(own, SPEC, cache)
    assert missing_bytes(own, SPEC, cache) == 0


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


def test_unreadable_photographs_cost_their_own_shards_only(
    own: Table, tmp_path: Path, fours: None, reads: list[str]
) -> None:
    for number in (1, 3, 9):
        own.path(own.rows[number]).rename(tmp_path / f"{number}.jpg")
    with pytest.raises(InputError, match=r"^3 photographs: .*can't be read") as caught:
        prepare_table(own, SPEC, tmp_path / "cache")
    assert all(own.rows[number].image in str(caught.value) for number in (1, 3, 9))
    for number in (1, 3, 9):
        (tmp_path / f"{number}.jpg").rename(own.path(own.rows[number]))
    reads.clear()
    found = prepare_table(own, SPEC, tmp_path / "cache")
    assert sorted(reads) == _names(own, 0, 1, 2, 3, 8, 9, 10, 11)
    _right(own, found)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("photograph", [1, 4, 5, 8, 9, 12])
def test_interrupted_goes_on_with_the_first_shard_that_is_missing(
    own: Table,
    tmp_path: Path,
    fours: None,
    reads: list[str],
    interrupt: type[BaseException],
    photograph: int,
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == photograph:
            raise interrupt

    with pytest.raises(interrupt):
        prepare_table(own, SPEC, tmp_path / "cache", stop)
    whole = (photograph - 1) // 4
    assert len(list((tmp_path / "cache").iterdir())) == 2 * whole
    reads.clear()
    found = prepare_table(own, SPEC, tmp_path / "cache")
    assert sorted(reads) == _names(own, *range(4 * whole, 12))
    _right(own, found)


@pytest.mark.parametrize("moves", range(6))
def test_killed_at_any_file_goes_on_and_sweeps_up(
    own: Table, tmp_path: Path, fours: None, reads: list[str], moves: int
) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", KILL, own.root, cache, str(moves)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list(cache.glob(".*.tmp.*"))  # it was killed at its worst
    found = prepare_table(own, SPEC, cache)
    assert sorted(reads) == _names(own, *range(4 * (moves // 2), 12))
    assert len(list(cache.iterdir())) == 6
    _right(own, found)


def test_full_disk_keeps_whole_shards_and_says_so(
    own: Table, tmp_path: Path, fours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, left, replace_file = tmp_path / "cache", iter(range(3)), os.replace

    def full(*given: Path, **how: int | None) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(*given, **how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="No space left on device"):
            prepare_table(own, SPEC, cache)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy", ".npy"]
    _right(own, prepare_table(own, SPEC, cache))


def test_two_that_prepare_the_same_table_share_the_work(
    own: Table, tmp_path: Path, fours: None, reads: list[str]
) -> None:
    found: list[Pixels] = []
    threads = [
        threading.Thread(target=lambda: found.append(prepare_table(own, SPEC, tmp_path / "c")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reads) == _names(own, *range(12))
    reads.clear()
    for each in found:
        _right(own, each)


def test_a_model_that_wants_other_numbers_than_pixels_is_refused(
    own: Table, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="scale 1, offset 0"):
        prepare_table(own, Input(48, 40, scale=1 / 255), tmp_path / "cache")


def test_no_more_than_one_shard_is_read_ahead(
    own: Table, tmp_path: Path, fours: None, reads: list[str]
) -> None:
    def slow(stage: str, done: int, total: int) -> None:
        time.sleep(0.02)
        assert len(reads) < done + 4

    prepare_table(own, SPEC, tmp_path / "cache", slow)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_holds_two_shards_whatever_the_number_of_photographs(
    own: Table, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        os.link(own.path(own.rows[number % 12]), folder / f"{number}.jpg")
    command = [sys.executable, "-c", PEAK, folder, tmp_path / "cache"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    number, peak = map(int, done.stdout.split())
    assert number == 1500  # 384 MiB of pixels
    assert peak < 280


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
