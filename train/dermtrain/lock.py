"""Locks between processes on one machine: the kernel frees them, even after kill -9."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dermedge import atomic
from dermedge.errors import StorageError
from dermedge.progress import Progress, silent

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that was taken.

    Attributes:
        descriptor: The open file that carries it.
        real: Off where the file system or the machine knows no such locks and nobody is held off.
    """

    descriptor: int
    real: bool

    def release(self) -> None:
        """Give it back; once."""
        os.close(self.descriptor)


def take(path: Path, *, shared: bool = False) -> Lock:
    """Wait for the lock of a folder, or of a file, which is made if it is not there.

    The lock is advice (flock): it holds off those who ask, nobody else. Two locks of one process
    count like those of two.

    Args:
        path: The folder or file; its parent is there.
        shared: Several may hold it, while nobody holds it alone.

    Raises:
        OSError: The file can't be opened.
    """
    return _flock(path, "LOCK_SH" if shared else "LOCK_EX")


def attempt(path: Path) -> Lock | None:
    """Like `take`, for oneself alone; None at once if anybody else holds it."""
    try:
        return _flock(path, "LOCK_EX", "LOCK_NB")
    except BlockingIOError:
        return None


@contextmanager
def alone(folder: Path, progress: Progress = silent, stem: str = "*") -> Iterator[None]:
    """Nobody else writes into this folder; what a killed command left half-written is removed.

    Args:
        folder: Made if it is not there.
        progress: Told if another command has to end first.
        stem: Of the files that are written whole; a glob pattern.

    Raises:
        StorageError: The folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = attempt(folder)
        if taken is None:
            progress("waiting for another command", 0, 1)
            taken = take(folder)
    except OSError as error:
        raise StorageError(f"{folder} can't be written: {error.strerror}") from error
    try:
        for half in atomic.halves(folder, stem) if taken.real else ():
            with suppress(OSError):
                half.unlink()
        yield
    finally:
        taken.release()


def _flock(path: Path, *how: str) -> Lock:
    if fcntl is None:
        return Lock(os.open(os.devnull, os.O_RDONLY), False)
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, sum(getattr(fcntl, name) for name in how))
    except BaseException as error:
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            return Lock(descriptor, False)  # some network file systems
        os.close(descriptor)  # somebody holds it, or Ctrl-C while waiting
        raise
    return Lock(descriptor, True)
