"""The folder of the caches: bounded, least recently used out first, shared between processes."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dermedge import table as tables
from dermedge.contract import Input
from dermedge.errors import StorageError
from dermtrain import store
from dermtrain.dataset import missing_bytes, prepare_table
from dermtrain.store import Store

HOLD = """
import sys, time
from pathlib import Path
from dermtrain.store import Store
held = Store(Path(sys.argv[1]), 1000)
held.entry("a")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with entries a, b and c of 300 bytes, used in this order, by nobody now."""
    folder = tmp_path / "store"
    with Store(folder, 1000) as filled:
        for name in "abc":
            path = filled.entry(name)
            (path / "sub").mkdir()
            (path / "one").write_bytes(b"0" * 100)
            (path / "sub" / "two").write_bytes(b"0" * 200)
    for number, name in enumerate("abc"):
        os.utime(folder / name, ns=(number, number))
    return folder


def _left(folder: Path) -> str:
    return "".join(sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")))


@pytest.mark.parametrize(("size", "left"), [(100, "abc"), (101, "bc"), (401, "c"), (1000, "")])
def test_least_recently_used_goes_first_and_no_more_than_needed(
    folder: Path, size: int, left: str
) -> None:
    Store(folder, 1000).reserve(size)
    assert _left(folder) == left


def test_asking_for_an_entry_marks_it_as_used(folder: Path) -> None:
    with Store(folder, 1000) as own:
        own.entry("a")
    Store(folder, 1000).reserve(101)
    assert _left(folder) == "ac"


@pytest.mark.parametrize("used", [True, False])
def test_entries_in_use_and_those_to_keep_stay(folder: Path, used: bool) -> None:
    with Store(folder, 1000) as own:
        if used:
            own.entry("a")
        own.reserve(101, keep=() if used else ("a",))
        assert _left(folder) == "ac"


def test_what_does_not_fit_is_refused_and_nothing_goes(folder: Path) -> None:
    with Store(folder, 1000) as own:
        own.entry("b")
        with pytest.raises(StorageError, match=r"1\.5 GB more are needed, .*--cache-limit"):
            own.reserve(1_500_000_000)
    assert _left(folder) == "abc"


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_the_disk_bounds_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Disk(0, 0, store.SPARE + 50))
    own = Store(folder, 10**12)
    own.reserve(50)
    assert _left(folder) == "abc"
    own.reserve(51)
    assert _left(folder) == "bc"
    with pytest.raises(StorageError, match=r"1\.0 GB are free on the disk"):
        own.reserve(10**7)
    assert _left(folder) == "bc"


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process that uses entry a."""
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        os.utime(folder / "a", ns=(0, 0))
        yield process
        process.kill()


def test_an_entry_that_another_process_uses_stays_until_that_is_killed(
    folder: Path, other: subprocess.Popen
) -> None:
    Store(folder, 1000).reserve(101)
    assert _left(folder) == "ac"
    other.send_signal(signal.SIGKILL)
    other.wait()
    Store(folder, 1000).reserve(401)
    assert _left(folder) == "c"


def test_what_a_killed_command_left_half_written_goes_once_nobody_uses_the_entry(
    folder: Path, other: subprocess.Popen
) -> None:
    half, whole = folder / "a" / ".maps.0123.tmp.npy", folder / "a" / "maps.npy"
    for path in (half, whole):
        path.write_bytes(b"0")
    with Store(folder, 1000) as own:
        own.entry("a")
    assert half.exists()  # the other may be writing it
    other.send_signal(signal.SIGKILL)
    other.wait()
    with Store(folder, 1000) as own:
        own.entry("a")
    assert not half.exists()
    assert whole.exists()


def test_an_entry_that_went_can_be_asked_for_again_and_is_then_in_use(folder: Path) -> None:
    with Store(folder, 900) as own:
        own.reserve(900)
        assert _left(folder) == ""
        path = own.entry("a")
        assert list(path.iterdir()) == []
        (path / "one").write_bytes(b"0" * 100)
        os.utime(path, ns=(0, 0))
        with Store(folder, 100) as another, pytest.raises(StorageError):
            another.reserve(1)
        assert _left(folder) == "a"


def test_no_lock_is_left_of_an_entry_that_went_nor_anything_of_a_killed_removal(
    folder: Path,
) -> None:
    (folder / ".trash-d").mkdir()
    (folder / ".trash-d" / "one").write_bytes(b"0")
    Store(folder, 1000).reserve(1000)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_where_locks_do_not_work_nothing_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with pytest.raises(StorageError):
        Store(folder, 900).reserve(1)
    assert _left(folder) == "abc"


@pytest.mark.parametrize("name", ["", ".", "..", ".lock", "a/b", "/a"])
def test_a_name_that_is_no_folder_of_the_store_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name"):
        Store(folder, 1000).entry(name)


def test_a_folder_that_can_not_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        Store(tmp_path / "file" / "store", 1000).entry("a")


def test_photographs_prepared_into_an_entry_stay_while_it_is_used(
    pictures: Path, tmp_path: Path
) -> None:
    table, spec, limit = tables.read(pictures), Input(32, 32), 200_000
    needed = len(table.rows) * 32 * 32 * 3
    with Store(tmp_path, limit) as own:
        cache = own.entry("pixels")
        own.reserve(missing_bytes(table, spec, cache))
        pixels = prepare_table(table, spec, cache)
        with Store(tmp_path, limit) as other, pytest.raises(StorageError):
            other.reserve(limit - needed)
        assert len(pixels.values[:]) == len(table.rows)
    Store(tmp_path, limit).reserve(limit - needed)
    assert _left(tmp_path) == ""
