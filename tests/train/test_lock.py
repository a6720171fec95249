import threading
import time
from pathlib import Path

import pytest

from dermedge.errors import StorageError
from dermtrain import lock


def test_locks_hold_off_and_are_shared(tmp_path: Path) -> None:
    first, second = (lock.take(tmp_path, shared=True) for _ in range(2))
    assert lock.attempt(tmp_path) is None
    first.release()
    assert lock.attempt(tmp_path) is None
    second.release()
    alone = lock.attempt(tmp_path)
    assert alone
    assert alone.real
    assert lock.attempt(tmp_path) is None
    alone.release()


def test_alone_the_second_waits_and_what_was_left_half_written_goes(tmp_path: Path) -> None:
    folder, told, done = tmp_path / "new" / "out", list[str](), list[str]()

    def second() -> None:
        with lock.alone(folder, lambda step, _done, _total: told.append(step)):
            done.append("second")

    waiting = threading.Thread(target=second)
    with lock.alone(folder):
        for name in (".a.0123.tmp.kit", ".b.0123.tmp.txt", "a.kit", ".tmp"):
            (folder / name).write_bytes(b"")
        waiting.start()
        while not told:
            time.sleep(0.01)
        done.append("first")
    waiting.join()
    assert (told, done) == (["waiting for another command"], ["first", "second"])
    assert sorted(path.name for path in folder.iterdir()) == [".tmp", "a.kit"]


def test_only_what_is_asked_for_goes(tmp_path: Path) -> None:
    for name in (".a.0123.tmp.kit", ".b.0123.tmp.txt"):
        (tmp_path / name).write_bytes(b"")
    with lock.alone(tmp_path, stem="a*"):
        assert [path.name for path in tmp_path.iterdir()] == [".b.0123.tmp.txt"]


def test_a_file_where_a_folder_is_meant_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="can't be written"), lock.alone(tmp_path / "out"):
        pass
