"""The folder that caches live in, bounded: what was used least recently makes room."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermedge import atomic
from dermedge.errors import StorageError
from dermtrain import lock
from dermtrain.lock import Lock

# The option of the commands that sets the limit: the errors name it.
OPTION = "--cache-limit"
SPARE = 10**9  # bytes that stay free on the disk
_TRASH = ".trash-"


def digest(*parts: object) -> str:
    """A name for what is made of these: 16 hex digits that change with any of them."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class Store:
    """Sub-folders (entries) of one folder, at most `limit` bytes together.

    Ask for an entry, reserve what it will need, then write into it:

        with Store(folder, limit=20 * 10**9) as store:
            cache = store.entry(f"pixels-{name}")
            store.reserve(missing_bytes(table, spec, cache))
            pixels = prepare_table(table, spec, cache)

    An entry is in use from `entry` until the store is closed or the process ends, however it ends;
    nobody removes it meanwhile. Processes on one machine may share a folder: entries and removals
    take turns. Room is not set aside, though: two that reserve at once and then write may pass the
    limit together, until one of them reserves again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Use `folder`, made when first needed, for at most `limit` bytes."""
        self.folder, self.limit = folder, limit
        self._used: dict[str, Lock] = {}

    def entry(self, name: str) -> Path:
        """The folder of one entry, made if it is not there, marked as used now.

        Raises:
            StorageError: It can't be written.
        """
        if not name or name.startswith(".") or Path(name).name != name:
            raise ValueError(f"{name!r} can't be the name of a folder of a cache")
        with self._turn():
            path = self.folder / name
            path.mkdir(exist_ok=True)
            os.utime(path)
            if name not in self._used:
                if alone := self._unused(name):
                    for half in atomic.halves(path):  # of a killed command
                        half.unlink(missing_ok=True)
                    alone.release()
                self._used[name] = lock.take(self._lock(name), shared=True)
        return path

    def reserve(self, size: int, keep: Collection[str] = ()) -> None:
        """Make room for `size` more bytes, under the limit and on the disk.

        Entries go, least recently used first, until they fit; none goes if they can't.

        Args:
            size: Bytes that are about to be written.
            keep: Names of entries to keep, beside those that any process uses.

        Raises:
            StorageError: They do not fit even so.
        """
        with self._turn():
            for rest in self.folder.glob(f"{_TRASH}*"):  # of a killed command
                shutil.rmtree(rest, ignore_errors=True)
            sizes = {path: _size(path) for path in self._entries()}
            free = shutil.disk_usage(self.folder).free
            lacking = max(sum(sizes.values()) + size - self.limit, size + SPARE - free)
            going: list[tuple[Path, Lock]] = []
            try:
                for path in sizes:
                    if lacking <= 0:
                        break
                    if path.name not in keep and (alone := self._unused(path.name)):
                        going.append((path, alone))
                        lacking -= sizes[path]
                if lacking > 0:
                    raise StorageError(self._refusal(size, sum(sizes.values()), free))
                for path, _ in going:
                    self._remove(path)
            finally:
                for _, alone in going:
                    alone.release()

    def close(self) -> None:
        """Use no entry any more."""
        while self._used:
            self._used.popitem()[1].release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _entries(self) -> list[Path]:
        """Least recently used first."""
        found = [p for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def _lock(self, name: str) -> Path:
        return self.folder / f".{name}.lock"

    def _unused(self, name: str) -> Lock | None:
        """The entry's lock, if it is sure that nobody holds it."""
        found = None if name in self._used else lock.attempt(self._lock(name))
        if found and not found.real:
            found.release()
            return None
        return found

    def _remove(self, path: Path) -> None:
        trash = path.with_name(f"{_TRASH}{path.name}")
        path.rename(trash)  # at once: an entry is never found half removed
        shutil.rmtree(trash, ignore_errors=True)
        # Whoever wants the entry again waits for its turn, so nobody holds the old file's lock.
        self._lock(path.name).unlink(missing_ok=True)

    def _refusal(self, size: int, used: int, free: int) -> str:
        return (
            f"{self.folder}: {_text(size)} more are needed, even without all that no command uses; "
            f"now it holds {_text(used)} of {_text(self.limit)}, and {_text(free)} are free on the "
            f"disk, of which {_text(SPARE)} stay free. Raise {OPTION}, or make room on the disk"
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time; errors of the disk become StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            taken = lock.take(self.folder / ".lock")
            try:
                yield
            finally:
                taken.release()
        except OSError as error:
            raise StorageError(f"{self.folder} can't be written: {error.strerror}") from error


def _size(folder: Path) -> int:
    """Bytes of all files beneath a folder; another process may be writing to it."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # just moved or removed
            if path.is_file():
                total += path.lstat().st_size
    return total


def _text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"
