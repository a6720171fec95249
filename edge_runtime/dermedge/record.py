"""A journal of judgements: numbered, durable JSON lines, bounded in size.

Why lines and not SQLite in WAL mode: nothing is ever changed, so an append is all that is needed;
what a power cut or a worn card damages costs the lines it hits, not a page tree; deleting a part
gives its room back at once, without VACUUM; and `tail`, `grep` and any language read it without us.
SQLite's WAL would sync no more rarely for the same promise, and no query here needs an index.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermedge import history, links
from dermedge.closing import Closing
from dermedge.errors import StorageError
from dermedge.history import SEQUENCE
from dermedge.syncer import Syncer

MAX_BYTES = 256 * 1024 * 1024
PARTS = 8  # a full journal loses an eighth of its past at a time

_TAIL = 1 << 16  # bytes in which the last record is looked for first


class Journal(Closing):
    """An open journal; its lines are numbered on, over restarts, by `sequence` (1, 2, …).

    When the file holds `max_bytes / PARTS`, it is renamed to `NAME.<its last number>`, and the
    oldest such parts go, so that no more than `max_bytes` stay. Lines are only ever appended.

    What is lost: by kill -9 at any moment, at most the line being written. By a power cut, that
    line too; with `background`, the lines since the last sync, which follows every line at once.

    Attributes:
        path: The file that is written.
        sequence: Number of the last record; 0 before the first one.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, background: bool = False) -> None:
        """Open or create the journal; only its owner may read it, since it is about a person.

        Args:
            path: Its newest file; the older parts lie beside it.
            max_bytes: Of all its files together.
            background: Sync in another thread: `append` then never waits for the disk.

        Raises:
            StorageError: It can't be written here, or another process is writing it.
        """
        self.path = path
        self.sequence = 0
        self._max_bytes = max_bytes
        self._part_bytes = max_bytes // PARTS
        self._file = self._lock = -1
        self._moving = threading.Lock()  # a file is not synced while it is exchanged
        self._syncer: Syncer | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                raise StorageError(
                    f"{path} is a link; name the place where it leads, since a journal that is "
                    "full is moved aside and a new one begun"
                )
            self._lock = _locked(path)
            self._open()
            self.sequence = self._last_sequence()
            self._forget()
        except OSError as error:
            self.close()
            raise self._failed(error) from error
        if background:
            self._syncer = Syncer(self._sync)

    def append(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write one record.

        Returns:
            The record as written: with its `sequence`.

        Raises:
            StorageError: The disk is full or can't be written; earlier records are unharmed.
            ValueError: The record is not JSON, e.g. holds NaN, or it brings a sequence of its own.
        """
        if SEQUENCE in record:
            raise ValueError(f"the journal gives the {SEQUENCE}, the record has one: {record}")
        numbered = {SEQUENCE: self.sequence + 1, **record}
        line = json.dumps(numbered, allow_nan=False).encode() + b"\n"
        try:
            if self._file < 0 or (self._size and self._size + len(line) > self._part_bytes):
                self._rotate()
            self._write(line)
            self.sequence += 1  # it can be read from here on, whatever becomes of the sync
            if self._syncer is None:
                self._sync()
            else:
                self._syncer.ask()
        except OSError as error:
            raise self._failed(error) from error
        return numbered

    def close(self) -> None:
        """Sync and close.

        Raises:
            StorageError: The last lines could not be synced, or earlier ones, and nobody was told.
        """
        syncer, self._syncer = self._syncer, None
        try:
            try:
                if syncer is not None:
                    syncer.close()
            finally:
                self._sync()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._close()
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._file = os.open(self.path, flags | links.NOFOLLOW, 0o600)
        _sync_folder(self.path.parent)
        self._size = os.fstat(self._file).st_size
        self._torn = bool(self._size) and _last_byte(self._file) != b"\n"

    def _write(self, line: bytes) -> None:
        # A power cut may have left half a line: that stays on a line of its own.
        rest = b"\n" + line if self._torn else line
        self._torn = True
        while rest:
            written = os.write(self._file, rest)
            self._size += written
            rest = rest[written:]
        self._torn = False

    def _sync(self) -> None:
        with self._moving:
            if self._file >= 0:
                os.fsync(self._file)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _rotate(self) -> None:
        """Make the file a part, and begin a new one; also where an earlier try broke off."""
        with self._moving:
            if self._file >= 0:
                os.fsync(self._file)
            self._close()
            part = history.part(self.path, self.sequence)
            # A file of torn lines alone ends with the number of the part before it: it stays.
            if self.path.exists() and not part.exists():
                self.path.rename(part)
            self._open()
        self._forget()

    def _forget(self) -> None:
        """Delete the oldest parts beyond the bound; the file in use needs one share of it."""
        older = history.parts(self.path)[:-1]
        sizes = [part.stat().st_size for part in older]
        while older and sum(sizes) > self._max_bytes - self._part_bytes:
            older.pop(0).unlink()
            sizes.pop(0)

    def _last_sequence(self) -> int:
        """Number of the last readable record of the file, else that in the newest part's name."""
        length = _TAIL
        while True:
            tail = os.pread(self._file, length, max(0, self._size - length))
            # A record cut at its beginning is no JSON object: it reads as a torn line.
            found = [record for line in tail.split(b"\n") if (record := history.parse(line))]
            if found or length >= self._size:
                break
            length *= 8
        older = history.parts(self.path)[:-1]
        named = history.last_of(self.path, older[-1]) or 0 if older else 0
        known = [r[SEQUENCE] for r in found if isinstance(r.get(SEQUENCE), int)]
        return max(named, *known[-1:], 0)

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the record {self.path} can't be written: {error.strerror or error}. "
            "Make room or choose another place; what was recorded before is kept."
        )


def _locked(path: Path) -> int:
    """A lock that ends with this process, however it ends; -1 where the system has none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return -1
    flags = os.O_RDWR | os.O_CREAT | links.NOFOLLOW
    lock = os.open(path.with_name(f".{path.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise OSError(error.errno, "another process is writing it") from error
    return lock


def _last_byte(file: int) -> bytes:
    return os.pread(file, 1, os.fstat(file).st_size - 1)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
