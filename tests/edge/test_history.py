import json
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from dermedge import history
from dermedge.errors import InputError
from dermedge.record import Journal


def test_what_is_lacking_is_counted(tmp_path: Path):
    path = tmp_path / "record.jsonl"
    lines = [
        {"sequence": 5, "time": "2026-11-26T08:00:00+00:00", "decision": "clear", "notice": "N"},
        {"sequence": 6, "time": "2026-11-26T09:00:00+00:00", "decision": "refer", "notice": "N"},
        {"sequence": 9, "time": "2026-11-26T08:30:00+00:00", "decision": "clear"},
        {"sequence": 10, "time": "2026-11-26T08:31:00+00:00", "threshold_by_user": True},
        {"sequence": 11, "failed_gate": True, "notice": "F"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text.replace("\n", '\n{"torn": \n\n', 1))
    found = history.facts(history.scan(path))
    assert (found.records, found.first, found.last) == (5, 5, 11)
    assert (found.missing, found.torn, found.clock_back) == (2, 1, 1)
    assert (found.since[11:16], found.until[11:16]) == ("08:00", "08:31")
    assert found.decisions == {"clear": 2, "refer": 1, "unknown": 2}
    assert (found.by_user, found.failed_gate, found.notices) == (1, 1, ["N", "F"])


def test_nothing_lacks_in_an_untouched_journal(tmp_path: Path):
    with Journal(tmp_path / "r", max_bytes=1600) as journal:
        for number in range(100):
            journal.append({"number": number})
    found = history.facts(history.scan(tmp_path / "r"))
    assert (found.missing, found.torn, found.clock_back) == (0, 0, 0)
    assert found.last == 100
    assert found.first > 1  # the oldest went


def test_a_journal_is_read_whole_while_it_is_written_and_rotated(tmp_path: Path):
    path, stop = tmp_path / "r", threading.Event()

    def write() -> None:
        with Journal(path, max_bytes=40_000) as journal:
            while not stop.is_set():
                journal.append({"pad": "x" * 400})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            try:
                found = [record["sequence"] for record in history.read(path)]
            except InputError:  # not begun yet
                continue
            assert found == list(range(found[0], found[-1] + 1)) if found else True
    finally:
        stop.set()
        writer.join()


def test_parts_of_another_journal_are_not_ours(tmp_path: Path):
    for name in ("r.jsonl", "r.jsonl.000000000004", "r.jsonl.000000000012", "r.jsonl.1", "r"):
        (tmp_path / name).write_text("")
    (tmp_path / "rxjsonl.000000000001").write_text("")
    names = [part.name for part in history.parts(tmp_path / "r.jsonl")]
    assert names == ["r.jsonl.000000000004", "r.jsonl.000000000012", "r.jsonl"]


def test_reading_where_no_record_is_is_an_input_error(tmp_path: Path):
    for path in (tmp_path / "none.jsonl", tmp_path / "no" / "folder", tmp_path):
        with pytest.raises(InputError, match="--record"):
            list(history.read(path))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00"])
def test_what_is_no_time_is_none(text: str):
    assert history.moment(text) is None


def test_a_time_without_a_zone_is_utc():
    expected = datetime(2026, 11, 26, 8, tzinfo=timezone.utc)
    assert history.moment("2026-11-26T08:00:00") == expected
    assert history.moment("2026-11-26T09:00:00+01:00") == expected
