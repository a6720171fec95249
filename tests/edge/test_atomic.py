import errno
import os
import signal
from pathlib import Path

import pytest

from dermedge import atomic
from dermedge.errors import StorageError


def full(*given: object, **named: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_are_written_whole_and_nothing_else_is_left(tmp_path: Path):
    atomic.write_text(tmp_path / "new" / "a.txt", "größer\n")
    atomic.write_bytes(tmp_path / "new" / "a.txt", b"again")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"again"
    assert left(tmp_path / "new") == ["a.txt"]


def test_what_is_public_may_be_read_by_all_whatever_the_umask(tmp_path: Path):
    before = os.umask(0o077)
    try:
        atomic.publish_text(tmp_path / "public", "größer\n")
        atomic.write_text(tmp_path / "other", "mine\n")
    finally:
        os.umask(before)
    assert (tmp_path / "public").read_text(encoding="utf-8") == "größer\n"
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o600


def test_on_a_file_system_without_rights_it_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", refuse)
    atomic.publish_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_what_was_written_can_be_read_back_before_it_is_in_place(tmp_path: Path):
    with atomic.stream(tmp_path / "a") as stream:
        stream.write(b"bytes")
        stream.seek(0)
        assert stream.read() == b"bytes"
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, old: bytes | None
):
    target = tmp_path / "small.kit"
    if old is not None:
        target.write_bytes(old)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(
        StorageError, match=r"small\.kit could not be written: No space left"
    ) as told:
        atomic.write_bytes(target, b"new")
    assert told.value.exit_code == 8
    assert left(tmp_path) == ([] if old is None else ["small.kit"])
    assert old is None or target.read_bytes() == old


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full_is_reported(tmp_path: Path):
    target = tmp_path / "a.txt"

    def fill() -> None:
        with atomic.whole(target) as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x" * 100_000)

    with pytest.raises(StorageError, match="No space left"):
        fill()
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def stop_half_way() -> None:
        with atomic.whole(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        stop_half_way()
    assert left(tmp_path) == ["a.txt"]
    assert target.read_text() == "old"


def test_what_a_killed_process_left_is_found_by_its_target(tmp_path: Path):
    child = os.fork()
    if child == 0:
        with atomic.whole(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    atomic.write_text(tmp_path / "b.txt", "whole")
    assert [path.read_text() for path in atomic.halves(tmp_path)] == ["half"]
    assert list(atomic.halves(tmp_path, "a")) == list(atomic.halves(tmp_path))
    assert not list(atomic.halves(tmp_path, "b"))
    assert not list(atomic.halves(tmp_path / "none"))


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        atomic.write_text(tmp_path / "out" / "a.txt", "text")
    assert (tmp_path / "out").read_text() == "a file"


def test_a_folder_in_the_place_of_the_file_is_reported(tmp_path: Path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(StorageError, match="could not be written"):
        atomic.write_text(tmp_path / "a.txt", "text")
    assert left(tmp_path) == ["a.txt"]


def test_an_error_that_is_not_about_storage_keeps_its_own_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic.whole(tmp_path / "a.txt"):
        (tmp_path / "absent").read_text()


def test_the_temporary_name_keeps_the_ending(tmp_path: Path):
    with atomic.whole(tmp_path / "values.npz") as temporary:
        assert temporary.suffix == ".npz"
        assert temporary.parent == tmp_path
        temporary.touch()
