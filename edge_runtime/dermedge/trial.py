"""A newly installed model on trial: so often a process may die of it before the one before returns.

The self-check of the installation runs in another process, with other limits, than the service that
will use the model. So that service counts: up before it builds the model, and the count goes once
the model has judged. What is left standing are the times that nobody came back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermedge import atomic
from dermedge.errors import Interrupted, StorageError

STARTS = 3

_MAX_BYTES = 1000


def begin(home: Path, sha256: str) -> None:
    """Put the bundle of this SHA-256 on trial, and no other.

    Raises:
        StorageError: It can't be written.
    """
    _write(home, sha256, 0)


def failed(home: Path, sha256: str) -> bool:
    """Whether so many processes began to use the bundle, and none of them got through."""
    starts = _starts(home, sha256)
    return starts is not None and starts >= STARTS


@contextmanager
def use(home: Path, sha256: str) -> Iterator[None]:
    """Build the model and let it judge once, inside; ends its trial if that goes well.

    On a disk that can't be written nothing is counted, and the trial goes on.
    """
    starts = _starts(home, sha256)
    if starts is None:
        yield
        return
    try:
        with suppress(StorageError, OSError):
            _write(home, sha256, starts + 1)
        yield
    except Interrupted:  # it was asked to stop, and did not die of the model
        with suppress(StorageError, OSError):
            _write(home, sha256, starts)
        raise
    with suppress(OSError):
        _file(home).unlink()


def _starts(home: Path, sha256: str) -> int | None:
    """None if this bundle is not on trial, or nobody can tell."""
    try:
        with _file(home).open("rb") as stream:
            found = json.loads(stream.read(_MAX_BYTES))
        return int(found["starts"]) if found["sha256"] == sha256 else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write(home: Path, sha256: str, starts: int) -> None:
    text = json.dumps({"sha256": sha256, "starts": starts})
    atomic.publish_text(_file(home), f"{text}\n")


def _file(home: Path) -> Path:
    return home / "trial.json"
