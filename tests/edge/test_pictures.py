import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import image, pictures
from dermedge.crypt import Key
from dermedge.errors import InputError, StorageError
from dermedge.history import read
from dermedge.image import RGB, to_jpeg
from dermedge.pictures import Pictures
from dermedge.recorder import Keep, Recorder

NOW = datetime(2026, 11, 26, 8, 30, tzinfo=timezone.utc)


def numbers(folder: Path) -> list[int]:
    return [each.sequence for each in pictures.find(folder)]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


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
    name = Pictures(tmp_path / "p").save(shown, 1, NOW)
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
    name = Pictures(tmp_path / "p", key).save(photo, 7, NOW)
    assert name is not None
    assert name.endswith(".jpg.enc")
    assert len(written) == 1
    assert b"JFIF" not in written[0]
    assert b"JFIF" in pictures.load(tmp_path / "p" / name, key)
    with pytest.raises(InputError, match="--key-file"):
        pictures.load(tmp_path / "p" / name, None)


def test_only_their_owner_may_look(tmp_path: Path, photo: RGB):
    name = Pictures(tmp_path / "p").save(photo, 1, NOW)
    assert name is not None
    for path in (tmp_path / "p", tmp_path / "p" / name):
        assert path.stat().st_mode & 0o077 == 0


def test_the_oldest_go_first_and_the_size_is_kept(tmp_path: Path, photo: RGB):
    folder = tmp_path / "p"
    one = len(to_jpeg(photo))
    kept = Pictures(folder, max_bytes=4 * one)
    for number in range(1, 10):
        kept.save(photo, number, NOW)
        assert size(folder) <= 4 * one
    assert numbers(folder) == [6, 7, 8, 9]
    Pictures(folder, max_bytes=2 * one, max_days=1e6)
    assert numbers(folder) == [8, 9]


def test_a_picture_beyond_the_bound_is_not_kept_and_costs_no_other(tmp_path: Path, photo: RGB):
    kept = Pictures(tmp_path / "p", max_bytes=len(to_jpeg(photo)) + 100)
    kept.save(photo, 1, NOW)
    big = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    assert kept.save(big, 2, NOW) is None
    assert numbers(tmp_path / "p") == [1]


def test_pictures_go_when_they_are_too_old(tmp_path: Path, photo: RGB):
    kept = Pictures(tmp_path / "p", max_days=2)
    for day in range(5):
        kept.save(photo, day + 1, NOW + timedelta(days=day))
    assert numbers(tmp_path / "p") == [3, 4, 5]
    Pictures(tmp_path / "p", max_days=0.01).prune(NOW + timedelta(days=99))
    assert numbers(tmp_path / "p") == []


def test_a_clock_that_jumps_back_neither_deletes_nor_confuses_the_order(tmp_path: Path, photo: RGB):
    one = len(to_jpeg(photo))
    kept = Pictures(tmp_path / "p", max_bytes=3 * one, max_days=2)
    long_ago = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for number, time in enumerate([NOW, NOW, long_ago, long_ago], 1):
        kept.save(photo, number, time)
    assert numbers(tmp_path / "p") == [2, 3, 4]


def test_what_a_kill_left_is_tidied_and_other_files_stay(tmp_path: Path, photo: RGB):
    folder = tmp_path / "p"
    Pictures(folder).save(photo, 1, NOW)
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
        with Recorder(path, keep=Keep()) as recorder:
            written = [recorder.add({"n": n}, photo, NOW) for n in range(3)]
            assert all("picture" in record for record in written)
    for record in read(path):
        assert (pictures.beside(path) / record["picture"]).is_file()
        assert int(record["picture"].partition("-")[0]) == record["sequence"]
    assert numbers(pictures.beside(path)) == [1, 2, 3, 4, 5, 6]


def test_no_picture_is_kept_unasked(tmp_path: Path, photo: RGB):
    with Recorder(tmp_path / "r") as recorder:
        assert "picture" not in recorder.add({}, photo, NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"r", ".r.lock"}


def test_a_disk_too_full_for_the_picture_still_takes_the_record(
    tmp_path: Path, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    def full(*given: object) -> object:
        raise OSError(28, "No space left on device")

    with Recorder(tmp_path / "r", keep=Keep()) as recorder:
        recorder.add({"n": 1}, photo, NOW)
        monkeypatch.setattr(os, "fdopen", full)
        with pytest.raises(StorageError, match="No space left"):
            recorder.add({"n": 2}, photo, NOW)
        monkeypatch.undo()
    first, second = read(tmp_path / "r")
    assert (second["n"], second["picture"]) == (2, None)
    assert [path.name for path in pictures.beside(tmp_path / "r").iterdir()] == [first["picture"]]


def test_a_journal_is_let_go_if_its_pictures_cannot_be_kept(tmp_path: Path):
    pictures.beside(tmp_path / "r").write_text("a file where the folder should be")
    for _ in range(2):  # the second time, the journal would still be held
        with pytest.raises(StorageError, match="--keep-pictures"):
            Recorder(tmp_path / "r", keep=Keep())
