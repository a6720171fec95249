"""A journal of judgements: one durable JSON line each, bounded in size, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dermedge.errors import InputError, StorageError

MAX_BYTES = 64 * 1024 * 1024


class Journal:
    """An open journal; at `max_bytes` it moves to `NAME.1`, replacing the one before.

    So at most twice `max_bytes` are kept. A line is on the disk when `append` returns.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Open or create the journal; only its owner may read it, since it is about a person.

        Raises:
            StorageError: It can't be written here.
        """
        self.path = path
        self._max_bytes = max_bytes
        self._file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise self._failed(error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and sync it.

        Raises:
            StorageError: The disk is full or can't be written; earlier records are unharmed.
            ValueError: The record is not JSON, e.g. holds NaN.
        """
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            self._write(line)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file; every record is on the disk already."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._file = os.open(self.path, flags, 0o600)
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
        os.fsync(self._file)
        self._torn = False

    def _rotate(self) -> None:
        self.close()
        self.path.replace(older(self.path))
        self._open()

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the record {self.path} can't be written: {error.strerror or error}. "
            "Make room or choose another place; what was recorded before is kept."
        )


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Records of a journal, oldest first, those in `NAME.1` included.

    Lines that a power cut tore, or that are no JSON object for another reason, are left out.

    Raises:
        InputError: There is no journal, or it can't be read.
    """
    files = [file for file in (older(path), path) if file.is_file()]
    if not files:
        raise InputError(f"{path} is not a record; kit camera --record PATH writes one")
    for file in files:
        try:
            with file.open("rb") as stream:
                yield from (found for line in stream if (found := _parse(line)) is not None)
        except OSError as error:
            raise InputError(f"{file} can't be read: {error.strerror or error}") from error


def older(path: Path) -> Path:
    """Where a full journal is moved: `NAME.1` beside it."""
    return path.with_name(f"{path.name}.1")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _last_byte(file: int) -> bytes:
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
