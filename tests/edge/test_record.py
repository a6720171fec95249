import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge.errors import StorageError
from dermedge.history import parts, read
from dermedge.record import PARTS, Journal

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates are no text: JSON escapes them, but nothing promises that they come back.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
keys = st.text().filter(lambda key: key != "sequence")
records = st.lists(st.dictionaries(keys, json_values, max_size=4), max_size=6)


def bare(path: Path) -> list[dict]:
    """The records without their numbers, which must rise by one each."""
    found = list(read(path))
    numbers = [record.pop("sequence", None) for record in found]
    known = [number for number in numbers if number is not None]
    assert known == list(range(1, len(known) + 1))
    return found


@settings(max_examples=30)
@given(written=records, more=records)
def test_what_was_appended_is_read_back(written: list[dict], more: list[dict]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        for part in (written, more):
            with Journal(path) as journal:
                for record in part:
                    journal.append(record)
        assert bare(path) == written + more


@settings(max_examples=40)
@given(written=records.filter(bool), data=st.data())
def test_a_record_torn_anywhere_costs_itself_alone(written: list[dict], data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        with Journal(path) as journal:
            for record in written:
                journal.append(record)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)), label="cut")
        path.write_bytes(whole[:cut])
        # A line is whole without its newline too: nothing of the record is missing.
        ends = accumulate(len(line) for line in whole.splitlines(keepends=True))
        kept = sum(end - 1 <= cut for end in ends)
        assert bare(path) == written[:kept]
        with Journal(path) as journal:
            journal.append({"after": True})
            journal.append({"after": 2})
        assert bare(path) == [*written[:kept], {"after": True}, {"after": 2}]


@pytest.mark.parametrize("junk", [b"\0\0\0\0", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"7\n"])
def test_junk_of_a_power_cut_is_left_out(tmp_path: Path, junk: bytes):
    path = tmp_path / "record.jsonl"
    path.write_bytes(b'{"first": 1}\n' + junk)
    with Journal(path) as journal:
        journal.append({"second": 2})
    assert bare(path) == [{"first": 1}, {"second": 2}]


def test_it_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path):
    path, sizes = tmp_path / "record.jsonl", [0]
    with Journal(path, max_bytes=2400) as journal:
        for number in range(300):
            journal.append({"number": number})
            sizes = [part.stat().st_size for part in parts(path)]
            assert sum(sizes) <= 2400
            assert max(sizes) <= 2400 // PARTS
    numbers = [record["number"] for record in read(path)]
    assert numbers == list(range(numbers[0], 300))
    assert sum(sizes) > 2400 * 3 // 4


def test_a_smaller_bound_holds_from_the_next_start_on(tmp_path: Path):
    path = tmp_path / "r"
    for bound in (8000, 1600):
        with Journal(path, max_bytes=bound) as journal:
            for _ in range(200):
                journal.append({"text": "twenty bytes or more"})
    assert sum(part.stat().st_size for part in parts(path)) <= 1600


def test_one_record_beyond_the_bound_is_written_all_the_same(tmp_path: Path):
    with Journal(tmp_path / "r", max_bytes=10) as journal:
        journal.append({"text": "longer than ten bytes"})
        journal.append({"text": "so is this one"})
    assert [record["text"] for record in read(tmp_path / "r")] == ["so is this one"]


def test_records_are_numbered_on_over_restarts_and_rotations(tmp_path: Path):
    path = tmp_path / "r"
    for start in range(30):
        with Journal(path, max_bytes=800) as journal:
            assert journal.sequence == 2 * start
            assert journal.append({"a": 1}) == {"sequence": 2 * start + 1, "a": 1}
            journal.append({})
    path.unlink()  # as after a kill between the two halves of a rotation
    with Journal(path, max_bytes=800) as journal:
        numbers = [record["sequence"] for record in read(path)]
        assert journal.sequence == numbers[-1]


def test_the_number_is_found_behind_a_long_damaged_end(tmp_path: Path):
    path = tmp_path / "r"
    path.write_bytes(b'{"sequence": 41}\n' + b"\0" * 300_000)
    with Journal(path) as journal:
        journal.append({})
    assert [record["sequence"] for record in read(path)] == [41, 42]


def test_a_file_of_torn_lines_never_replaces_the_part_before_it(tmp_path: Path):
    path = tmp_path / "r"
    path.with_name("r.000000000007").write_bytes(b'{"sequence": 7}\n')
    path.write_bytes(b'{"sequence": 8, "text": "' + b"x" * 300)
    with Journal(path, max_bytes=1600) as journal:
        journal.append({})
    assert [record["sequence"] for record in read(path)] == [7, 8]


def test_a_record_with_a_number_of_its_own_or_no_json_is_refused(tmp_path: Path):
    with Journal(tmp_path / "r") as journal:
        for record in ({"sequence": 1}, {"p": float("nan")}):
            with pytest.raises(ValueError, match=r"sequence|JSON"):
                journal.append(record)
        assert journal.append({})["sequence"] == 1


def test_two_processes_do_not_write_one_journal(tmp_path: Path):
    with Journal(tmp_path / "r"), pytest.raises(StorageError, match="another process"):
        Journal(tmp_path / "r")
    Journal(tmp_path / "r").close()


def test_a_clock_that_jumps_back_costs_nothing(tmp_path: Path):
    times = ["2026-11-26T08:00:00+00:00", "1970-01-01T00:00:03+00:00", "2026-11-26T08:00:01+00:00"]
    with Journal(tmp_path / "r") as journal:
        for time in times:
            journal.append({"time": time})
    found = list(read(tmp_path / "r"))
    assert [record["time"] for record in found] == times
    assert [record["sequence"] for record in found] == [1, 2, 3]


@pytest.fixture
def tiny_disk(mounted: Callable[[int], Path]) -> Path:
    """A real file system of 64 KiB; skipped where none may be mounted."""
    return mounted(64)


def test_a_full_disk_costs_the_record_that_did_not_fit(tiny_disk: Path):
    path, written = tiny_disk / "r", 0
    with Journal(path) as journal:
        with pytest.raises(StorageError, match=r"No space left .*recorded before"):  # noqa: PT012
            while True:
                journal.append({"pad": "x" * 1000})
                written += 1
        assert [r["sequence"] for r in read(path)] == list(range(1, written + 1))
        subprocess.run(["mount", "-o", "remount,size=128k", str(tiny_disk)], check=True)
        journal.append({"after": True})
    *before, last = read(path)
    assert len(before) == written > 50
    assert last == {"sequence": written + 1, "after": True}


def test_a_disk_that_becomes_read_only_costs_nothing_before(tiny_disk: Path):
    path = tiny_disk / "r"
    with Journal(path) as journal:
        journal.append({"number": 1})
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only"):
        Journal(path)
    assert [record["number"] for record in read(path)] == [1]


def test_after_a_failed_write_the_next_record_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, write = tmp_path / "record.jsonl", os.write

    def full(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fail)
        return write(file, data[:5])

    def fail(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Journal(path) as journal:
        journal.append({"number": 1})
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError):
            journal.append({"number": 2})
        monkeypatch.setattr(os, "write", write)
        journal.append({"number": 3})
    assert list(read(path)) == [{"sequence": 1, "number": 1}, {"sequence": 2, "number": 3}]


@pytest.mark.parametrize("name", ["open", "fsync"])
def test_a_rotation_that_fails_is_made_up_for_by_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    path = tmp_path / "r"

    def fail(*given: object) -> int:
        raise OSError(5, "Input/output error")

    with Journal(path, max_bytes=8) as journal:  # every record begins a new file
        for _ in range(3):
            journal.append({})
        with monkeypatch.context() as broken:
            broken.setattr(os, name, fail)
            with pytest.raises(StorageError, match="Input/output"):
                journal.append({})
        journal.append({})
        last = journal.sequence
    assert [record["sequence"] for record in read(path)][-1] == last


def test_a_sync_in_the_background_that_fails_is_told_with_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    failed, fsync = threading.Event(), os.fsync

    def fail(file: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        failed.set()
        raise OSError(5, "Input/output error")

    with Journal(tmp_path / "r", background=True) as journal:
        monkeypatch.setattr(os, "fsync", fail)
        journal.append({})
        assert failed.wait(10)
        with pytest.raises(StorageError, match="Input/output"):  # noqa: PT012
            for _ in range(1000):
                journal.append({})
                time.sleep(0.001)
        journal.append({})
        last = journal.sequence
    assert [record["sequence"] for record in read(tmp_path / "r")] == list(range(1, last + 1))


def test_a_last_sync_in_the_background_that_fails_is_told_by_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    failed, fsync = threading.Event(), os.fsync
    journal = Journal(tmp_path / "r", background=True)

    def fail(file: int) -> None:
        monkeypatch.setattr(
            os, "fsync", fsync
        )  # the system tells of it once, the next one succeeds
        failed.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    journal.append({})
    assert failed.wait(10)
    with pytest.raises(StorageError, match="Input/output"):
        journal.close()
    Journal(tmp_path / "r").close()  # it was let go all the same
    journal.close()


def test_in_the_background_every_record_is_synced_before_it_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes, fsync = [], os.fsync

    def note(file: int) -> None:
        sizes.append(os.fstat(file).st_size)
        fsync(file)

    monkeypatch.setattr(os, "fsync", note)
    before = threading.active_count()
    with Journal(tmp_path / "r", background=True) as journal:
        for _ in range(200):
            journal.append({})
    assert sizes[-1] == (tmp_path / "r").stat().st_size
    assert threading.active_count() == before


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't be written"):
        Journal(tmp_path / "file" / "record.jsonl")
    with pytest.raises(StorageError, match="can't be written"):
        Journal(tmp_path)


def test_only_its_owner_may_read_it(tmp_path: Path):
    Journal(tmp_path / "record.jsonl").close()
    assert (tmp_path / "record.jsonl").stat().st_mode & 0o077 == 0
