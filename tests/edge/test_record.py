import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge.errors import InputError, StorageError
from dermedge.record import Journal, older, read

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
records = st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6)

WRITER = """
import sys
from pathlib import Path
from dermedge.record import Journal
with Journal(Path(sys.argv[1]), max_bytes=4000) as journal:
    for number in range(1_000_000):
        journal.append({"number": number, "pad": "x" * (number % 97)})
        print(number, flush=True)
"""


@settings(max_examples=30, deadline=None)
@given(written=records, more=records)
def test_what_was_appended_is_read_back(written: list[dict], more: list[dict]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        for part in (written, more):
            with Journal(path) as journal:
                for record in part:
                    journal.append(record)
        assert list(read(path)) == written + more


@settings(max_examples=40, deadline=None)
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
        assert list(read(path)) == written[:kept]
        with Journal(path) as journal:
            journal.append({"after": True})
            journal.append({"after": 2})
        assert list(read(path)) == [*written[:kept], {"after": True}, {"after": 2}]


@pytest.mark.parametrize("junk", [b"\0\0\0\0", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"7\n"])
def test_junk_of_a_power_cut_is_left_out(tmp_path: Path, junk: bytes):
    path = tmp_path / "record.jsonl"
    path.write_bytes(b'{"first": 1}\n' + junk)
    with Journal(path) as journal:
        journal.append({"second": 2})
    assert list(read(path)) == [{"first": 1}, {"second": 2}]


def test_it_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path):
    path = tmp_path / "record.jsonl"
    with Journal(path, max_bytes=300) as journal:
        for number in range(100):
            journal.append({"number": number})
            assert path.stat().st_size <= 300
    assert older(path).stat().st_size <= 300
    numbers = [record["number"] for record in read(path)]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 20


def test_one_record_beyond_the_bound_is_written_all_the_same(tmp_path: Path):
    with Journal(tmp_path / "r", max_bytes=10) as journal:
        journal.append({"text": "longer than ten bytes"})
        journal.append({"text": "so is this one"})
    assert len(list(read(tmp_path / "r"))) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_storage_error():
    with Journal(Path("/dev/full")) as journal, pytest.raises(StorageError, match="No space left"):
        journal.append({"number": 1})


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
    assert list(read(path)) == [{"number": 1}, {"number": 3}]


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't be written"):
        Journal(tmp_path / "file" / "record.jsonl")
    with pytest.raises(StorageError, match="can't be written"):
        Journal(tmp_path)


def test_reading_where_no_record_is_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="--record"):
        list(read(tmp_path / "none.jsonl"))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_only_its_owner_may_read_it(tmp_path: Path):
    Journal(tmp_path / "record.jsonl").close()
    assert (tmp_path / "record.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_survives_kill_9_at_a_random_moment(tmp_path: Path, seed: int):
    path = tmp_path / "record.jsonl"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None
        told = -1
        for _ in range(random.Random(seed).randrange(5, 120)):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    numbers = [record["number"] for record in read(path)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] >= told  # what was acknowledged is on the disk
    with Journal(path) as journal:
        journal.append({"number": -1})
    *_, last = read(path)
    assert json.dumps(last) == '{"number": -1}'
