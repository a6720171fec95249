import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import image, pictures, recorder
from dermedge.crypt import Key
from dermedge.errors import InputError, StorageError
from dermedge.history import read
from dermedge.image import RGB, to_jpeg
from dermedge.pictures import Pictures
from dermedge.recorder import Keep, Recorder

NOW = datetime(2026, 11, 26, 8, 30, tzinfo=timezone.utc)


def numbers(folder: Path) -> list[int]:
    return [each.sequence for each in pictures.find(folder)]


def full(*given: object) -> object:
    raise OSError(28, "No space left on device")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def save(kept: Pictures, photo: RGB, sequence: int, time: datetime) -> str | None:
    """Take and keep one picture; its name, or None if it is too large."""
    picture = kept.take(photo, sequence, time)
    if picture is None:
        return None
    kept.keep(picture)
    return picture.name


@pytest.fixture
def key() -> Key:
    pytest.importorskip("cryptography", reason="needs the extra crypt")
    return Key(bytes(32))


def with_place(photo: RGB) -> bytes:
    """A JPEG that says in its EXIF data where it was taken."""
    data = cv2.imencode(".jpg", photo)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08GPSLatitude 47.3769 SECRET-PLACE"
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


def segments(data: bytes) -> set[int]:
    """Markers of a JPEG before its first scan."""
    found, at = set(), 2
    while data[at + 1] != 0xDA:
        found.add(data[at + 1])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found


def test_only_pixels_are_kept(tmp_path: Path, photo: RGB):
    source = with_place(photo)
    assert 0xE1 in segments(source)
    shown = image.decode(source, "phone.jpg")
    name = save(Pictures(tmp_path / "p"), shown, 1, NOW)
    assert name == "000000000001-20261126T083000000000Z.jpg"
    data = (tmp_path / "p" / name).read_bytes()
    assert b"SECRET-PLACE" not in data
    assert segments(data) <= {0xE0, 0xDB, 0xC0, 0xC4}  # JFIF, tables and size: no EXIF, no comment
    difference = np.abs(image.decode(data, name).astype(int) - shown)
    assert difference.mean() < 3


def test_with_a_key_nothing_readable_touches_the_disk(
    tmp_path: Path, photo: RGB, key: Key, monkeypatch: pytest.MonkeyPatch
):
    written, write = [], os.fdopen

    def note(*given: object) -> object:
        stream = write(*given)  # type: ignore[call-overload]
        put = stream.write
        written_here = written

        class Noted:
            def __enter__(self) -> "Noted":
                return self

            def __exit__(self, *given: object) -> None:
                stream.close()

            def write(self, data: bytes) -> int:
                written_here.append(data)
                return put(data)

        return Noted()

    monkeypatch.setattr(os, "fdopen", note)
    name = save(Pictures(tmp_path / "p", key), photo, 7, NOW)
    assert name is not None
    assert name.endswith(".jpg.enc")
    assert len(written) == 1
    assert b"JFIF" not in written[0]
    assert b"JFIF" in pictures.load(tmp_path / "p" / name, key)
    with pytest.raises(InputError, match="--key-file"):
        pictures.load(tmp_path / "p" / name, None)


def test_only_their_owner_may_look(tmp_path: Path, photo: RGB):
    name = save(Pictures(tmp_path / "p"), photo, 1, NOW)
    assert name is not None
    for path in (tmp_path / "p", tmp_path / "p" / name):
        assert path.stat().st_mode & 0o077 == 0


def test_the_oldest_go_first_and_the_size_is_kept(tmp_path: Path, photo: RGB):
    folder = tmp_path / "p"
    one = len(to_jpeg(photo))
    kept = Pictures(folder, max_bytes=4 * one)
    for number in range(1, 10):
        save(kept, photo, number, NOW)
        assert size(folder) <= 4 * one
    assert numbers(folder) == [6, 7, 8, 9]
    Pictures(folder, max_bytes=2 * one, max_days=1e6)
    assert numbers(folder) == [8, 9]


def test_a_picture_beyond_the_bound_is_not_kept_and_costs_no_other(tmp_path: Path, photo: RGB):
    kept = Pictures(tmp_path / "p", max_bytes=len(to_jpeg(photo)) + 100)
    save(kept, photo, 1, NOW)
    big = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    assert save(kept, big, 2, NOW) is None
    assert numbers(tmp_path / "p") == [1]


def test_what_is_kept_is_not_gone_through_for_each_picture(tmp_path: Path, photo: RGB):
    looked = 0

    class Watched(deque):
        def __iter__(self) -> Iterator:
            nonlocal looked
            for each in super().__iter__():
                looked += 1
                yield each

    kept = Pictures(tmp_path / "p", max_bytes=30 * len(to_jpeg(photo)), max_days=2)
    kept._kept = Watched(kept._kept)
    for number in range(1, 41):
        save(kept, photo, number, NOW)
    save(kept, photo, 41, NOW + timedelta(days=3))
    assert looked == 0
    assert numbers(tmp_path / "p") == [41]


def test_what_a_clock_in_the_future_has_put_first_keeps_no_other_beyond_its_time(
    tmp_path: Path, photo: RGB
):
    kept = Pictures(tmp_path / "p", max_days=2)
    for number, days in enumerate([3650, 0, 0], 1):
        save(kept, photo, number, NOW + timedelta(days=days))
    kept.prune(NOW + timedelta(days=3))
    assert numbers(tmp_path / "p") == [1]


def test_pictures_go_when_they_are_too_old(tmp_path: Path, photo: RGB):
    kept = Pictures(tmp_path / "p", max_days=2)
    for day in range(5):
        save(kept, photo, day + 1, NOW + timedelta(days=day))
    assert numbers(tmp_path / "p") == [3, 4, 5]
    Pictures(tmp_path / "p", max_days=0.01).prune(NOW + timedelta(days=99))
    assert numbers(tmp_path / "p") == []


def test_a_clock_that_jumps_back_neither_deletes_nor_confuses_the_order(tmp_path: Path, photo: RGB):
    one = len(to_jpeg(photo))
    kept = Pictures(tmp_path / "p", max_bytes=3 * one, max_days=2)
    long_ago = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for number, time in enumerate([NOW, NOW, long_ago, long_ago], 1):
        save(kept, photo, number, time)
    assert numbers(tmp_path / "p") == [2, 3, 4]


def test_what_a_kill_left_is_tidied_and_other_files_stay(tmp_path: Path, photo: RGB):
    folder = tmp_path / "p"
    save(Pictures(folder), photo, 1, NOW)
    (folder / ".000000000002-20261126T083000000000Z.99.tmp.jpg").write_bytes(b"half")
    (folder / "holiday.jpg").write_bytes(b"mine")
    (folder / "000000000003-20269926T083000000000Z.jpg").write_bytes(b"no such day")
    kept = Pictures(folder, max_bytes=1, max_days=0.001)
    kept.prune(NOW + timedelta(days=1))
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000000003-20269926T083000000000Z.jpg",
        "holiday.jpg",
    ]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="--keep-pictures"):
        Pictures(tmp_path / "file")


def test_a_picture_and_its_record_name_each_other(tmp_path: Path, photo: RGB):
    path = tmp_path / "today.jsonl"
    for _ in range(2):
        with Recorder(path, keep=Keep()) as journal:
            written = [journal.add({"n": n}, photo, NOW) for n in range(3)]
            assert all("picture" in record for record in written)
    for record in read(path):
        assert (pictures.beside(path) / record["picture"]).is_file()
        assert int(record["picture"].partition("-")[0]) == record["sequence"]
    assert numbers(pictures.beside(path)) == [1, 2, 3, 4, 5, 6]


def test_no_picture_is_kept_unasked(tmp_path: Path, photo: RGB):
    with Recorder(tmp_path / "r") as written:
        assert "picture" not in written.add({}, photo, NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"r", ".r.lock"}


def test_a_disk_too_full_for_the_picture_still_takes_the_record(
    tmp_path: Path, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    with Recorder(tmp_path / "r", keep=Keep()) as written:
        first = written.add({"n": 1}, photo, NOW)
        while not numbers(pictures.beside(tmp_path / "r")):
            pass
        monkeypatch.setattr(os, "fdopen", full)
        written.add({"n": 2}, photo, NOW)
        with pytest.raises(StorageError, match="No space left"):
            written.add({"n": 3}, photo, NOW)
        monkeypatch.undo()
        last = written.add({"n": 4}, photo, NOW)  # with room again
    records = list(read(tmp_path / "r"))
    assert [each["n"] for each in records] == [1, 2, 3, 4]
    assert records[2]["picture"] is None
    found = sorted(path.name for path in pictures.beside(tmp_path / "r").iterdir())
    assert found == [first["picture"], last["picture"]]


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many hours pass; the clock on the wall shows others."""
    passed = 0.0

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return NOW + timedelta(hours=passed)

    def wait(hours: float) -> None:
        nonlocal passed
        passed += hours

    monkeypatch.setattr(recorder, "datetime", Clock)
    monkeypatch.setattr(pictures, "datetime", Clock)
    monkeypatch.setattr(recorder.time, "monotonic", lambda: 3600 * passed)
    return wait


def test_pictures_go_in_time_while_nothing_is_recorded(
    tmp_path: Path, photo: RGB, hours: Callable[[float], None]
):
    folder = pictures.beside(tmp_path / "r")
    with Recorder(tmp_path / "r", keep=Keep(max_days=1)) as written:
        written.add({}, photo, NOW)
        for _ in range(24):
            hours(1)
            written.tidy()
        assert numbers(folder) == [1]
        hours(0.5)
        written.tidy()  # only once an hour
        assert numbers(folder) == [1]
        hours(0.5)
        written.tidy()
    assert numbers(folder) == []


def test_what_is_recorded_looks_for_the_old_ones_too(
    tmp_path: Path, photo: RGB, hours: Callable[[float], None]
):
    with Recorder(tmp_path / "r", keep=Keep(max_days=1)) as written:
        written.add({}, photo, NOW + timedelta(days=3650))  # by a clock that was wrong
        written.add({}, photo, NOW)
        hours(25)
        written.add({}, photo, NOW + timedelta(hours=25))
    assert numbers(pictures.beside(tmp_path / "r")) == [1, 3]


def test_without_pictures_there_is_nothing_to_tidy(tmp_path: Path):
    with Recorder(tmp_path / "r") as written:
        written.tidy()


class Slow:
    """A disk that takes its time over each sync of a picture, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, file: int) -> None:
        if threading.current_thread().name.startswith("dermedge-pictures"):
            self.begun.set()
            assert self.go.wait(30)
        self.fsync(file)


def test_whoever_judges_does_not_wait_for_the_disk(
    tmp_path: Path, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    with Recorder(tmp_path / "r", keep=Keep()) as written:
        disk = Slow(monkeypatch)
        told = [written.add({}, photo, NOW)]
        assert disk.begun.wait(30)
        assert numbers(pictures.beside(tmp_path / "r")) == []
        assert list(read(tmp_path / "r")) == told  # what was judged is recorded already
        threading.Timer(0.05, disk.go.set).start()
        told.append(
            written.add({}, photo, NOW)
        )  # waits for the one before, so that no more is lost
        assert numbers(pictures.beside(tmp_path / "r"))[0] == 1
    assert numbers(pictures.beside(tmp_path / "r")) == [1, 2]
    assert list(read(tmp_path / "r")) == told


@pytest.mark.parametrize("how", ["tidy", "close"])
def test_a_picture_that_could_not_be_written_is_told_though_no_other_follows(
    tmp_path: Path, photo: RGB, monkeypatch: pytest.MonkeyPatch, how: str
):
    written = Recorder(tmp_path / "r", keep=Keep())
    monkeypatch.setattr(os, "fdopen", full)
    written.add({"n": 1}, photo, NOW)
    with pytest.raises(StorageError, match="No space left"):  # noqa: PT012
        while how == "tidy":
            written.tidy()
        written.close()
    monkeypatch.undo()
    written.close()
    assert [each["n"] for each in read(tmp_path / "r")] == [1]
    Recorder(tmp_path / "r").close()  # the journal was let go


def test_a_journal_is_let_go_if_its_pictures_cannot_be_kept(tmp_path: Path):
    pictures.beside(tmp_path / "r").write_text("a file where the folder should be")
    for _ in range(2):  # the second time, the journal would still be held
        with pytest.raises(StorageError, match="--keep-pictures"):
            Recorder(tmp_path / "r", keep=Keep())
