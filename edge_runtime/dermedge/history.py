"""A journal's files and records, read back as they are, even while it is written."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from dermedge.errors import InputError
from dermedge.trust import UNSIGNED

SEQUENCE = "sequence"

_TRIES = 10
_BLANK = {b"", b"\n"}


@dataclass(slots=True)
class Facts:
    """What a journal holds, and what is known to be lacking.

    Attributes:
        records: How many can be read.
        first: The lowest sequence.
        last: The highest one.
        missing: Numbers between them that no record has.
        torn: Lines that are no record: a power cut, a kill or a full disk broke them off.
        clock_back: How often the clock jumped back from one record to the next.
        since: Time of the first record, ISO 8601; empty if unknown.
        until: Time of the last one.
        decisions: How often each was said.
        by_user: Records for which the user's threshold decided.
        failed_gate: Records of a model that failed its gate.
        unsigned: Records of a model that nobody whom the device trusts has signed.
        notices: Every notice in them, in the order in which they came.
    """

    records: int = 0
    first: int = 0
    last: int = 0
    missing: int = 0
    torn: int = 0
    clock_back: int = 0
    since: str = ""
    until: str = ""
    decisions: Counter[str] = field(default_factory=Counter)
    by_user: int = 0
    failed_gate: int = 0
    unsigned: int = 0
    notices: list[str] = field(default_factory=list)

    def add(self, record: dict[str, Any] | None) -> None:
        """Count one line, as `scan` gives it."""
        if record is None:
            self.torn += 1
            return
        self.records += 1
        self._follow(record.get(SEQUENCE), str(record.get("time") or ""))
        self.decisions[str(record.get("decision", "unknown"))] += 1
        self.by_user += record.get("threshold_by_user") is True
        self.failed_gate += record.get("failed_gate") is True
        self.unsigned += record.get("signature") == UNSIGNED
        notice = record.get("notice")
        if isinstance(notice, str) and notice not in self.notices:
            self.notices.append(notice)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _follow(self, sequence: object, time: str) -> None:
        if isinstance(sequence, int):
            self.missing += max(0, sequence - self.last - 1) if self.last else 0
            self.first = self.first or sequence
            self.last = max(self.last, sequence)
        now, before = moment(time), moment(self.until)
        self.clock_back += now is not None and before is not None and now < before
        self.since = self.since or time
        self.until = time or self.until


def facts(lines: Iterable[dict[str, Any] | None]) -> Facts:
    """Count the lines that `scan` gives."""
    found = Facts()
    for record in lines:
        found.add(record)
    return found


def scan(path: Path) -> Iterator[dict[str, Any] | None]:
    """Records of a journal, oldest first; None for each line that is torn or otherwise no record.

    It may be written meanwhile: what is read is its state at the first `next`, or a little later.

    Raises:
        InputError: There is no journal, or it can't be read.
    """
    with ExitStack() as stack:
        try:
            for stream in _opened(path, stack):
                yield from (parse(line) for line in stream if line not in _BLANK)
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records that `scan` finds, without the torn lines."""
    return (record for record in scan(path) if record is not None)


def parts(path: Path) -> list[Path]:
    """The files of a journal, oldest first; the one that is written comes last, there or not."""
    folder = path.parent
    names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 (names are enough)
    older = [folder / name for name in names if last_of(path, Path(name)) is not None]
    return [*sorted(older, key=lambda each: last_of(path, each) or 0), path]


def part(path: Path, sequence: int) -> Path:
    """Where a journal's file goes when it is full: `NAME.<its last number>`."""
    return path.with_name(f"{path.name}.{sequence:012d}")


def last_of(path: Path, other: Path) -> int | None:
    """The number in the name of a part; None if it is no part of this journal."""
    found = re.fullmatch(rf"{re.escape(path.name)}\.(\d{{12,}})", other.name)
    return int(found[1]) if found else None


def parse(line: bytes) -> dict[str, Any] | None:
    """One line's record; None if the line is not a whole JSON object."""
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def moment(text: str) -> datetime | None:
    """A time of a record, UTC; None if it is none, in no year from 1 to 9999 for instance."""
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(
            timezone.utc
        )
    return None


def _opened(path: Path, stack: ExitStack) -> list[BinaryIO]:
    """All files of a journal at one moment, even while one of them becomes a part."""
    for _ in range(_TRIES):
        files = _present(path)
        if not files:
            raise InputError(f"{path} is not a record; kit camera --record PATH writes one")
        with suppress(FileNotFoundError), ExitStack() as attempt:  # moved since it was listed
            streams: list[BinaryIO] = [attempt.enter_context(each.open("rb")) for each in files]
            if files == _present(path):
                stack.enter_context(attempt.pop_all())
                return streams
    raise InputError(f"{path} changes too fast to be read; try again")


def _present(path: Path) -> list[Path]:
    return [each for each in parts(path) if each.is_file()]
