"""A journal -> CSV, JSON or one self-contained HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from dermedge import atomic, history, page
from dermedge.contract import NOTICE
from dermedge.errors import InputError
from dermedge.history import Facts
from dermedge.trust import UNSIGNED

COLUMNS = (
    *("sequence", "time", "decision", "probability", "smoothed_decision", "smoothed_probability"),
    *("averaged", "agreeing", "novelty"),
    *("threshold", "chosen_for", "threshold_by_user", "quality", "age_ms", "latency_ms"),
    *("frame", "dropped", "model", "bundle", "signature", "failed_gate", "runtime"),
    *("capture", "picture"),
)
ROWS = 1000  # of a page; a browser takes its time over more

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

_Line = dict[str, Any] | None


def write(
    journal: Path, out: Path, since: datetime | None = None, until: datetime | None = None
) -> Facts:
    """Write what a journal holds, whole or not at all; only the owner may read it.

    Args:
        journal: Its newest file.
        out: Its ending says what is written: .csv, .json or .html.
        since: Only records from this time on.
        until: Only records before this time.

    Returns:
        What was written, counted.

    Raises:
        InputError: There is no journal, or the ending is another.
        MissingError: A page needs jinja2, which is not installed.
        StorageError: It can't be written.
    """
    formats: dict[str, Callable[[BinaryIO, Path, Iterable[_Line]], Facts]] = {
        ".csv": _to_csv,
        ".json": _to_json,
        ".html": _to_html,
    }
    put = formats.get(out.suffix.lower())
    if put is None:
        raise InputError(f"{out}: expected a name that ends in {', '.join(formats)}")
    if put is _to_html:
        page.require_installed(page.TEXT_ONLY)
    if out.resolve() in {each.resolve() for each in history.parts(journal)}:
        raise InputError(f"{out} is the record itself; choose another name")
    with atomic.private(out) as stream:
        return put(stream, journal, between(history.scan(journal), since, until))


def between(
    lines: Iterable[_Line], since: datetime | None, until: datetime | None
) -> Iterator[_Line]:
    """The lines of a span of time, UTC where no zone is given; torn ones are all kept.

    A record whose time can't be read is in no span.
    """
    start, end = (_aware(each) for each in (since, until))
    if start is None and end is None:
        yield from lines
        return
    for line in lines:
        time = None if line is None else history.moment(str(line.get("time", "")))
        if line is None or (time and (not start or time >= start) and (not end or time < end)):
            yield line


def cell(value: Any) -> str:
    """One value for a spreadsheet: text that it would take for a formula is marked as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return json.dumps(value)


def _to_csv(stream: BinaryIO, journal: Path, lines: Iterable[_Line]) -> Facts:
    found = Facts()
    text = io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for line in lines:
        found.add(line)
        if line is not None:
            rows.writerow([cell(line.get(name)) for name in COLUMNS])
    text.flush()
    text.detach()
    return found


def _to_json(stream: BinaryIO, journal: Path, lines: Iterable[_Line]) -> Facts:
    found, between_two = Facts(), "\n"
    head = json.dumps({"notice": NOTICE, "record": str(journal), "exported": _now()}, indent=1)
    stream.write(f'{head[:-2]},\n "records": ['.encode())
    for line in lines:
        found.add(line)
        if line is not None:
            stream.write(f"{between_two}  {json.dumps(line)}".encode())
            between_two = ",\n"
    stream.write(f'\n ],\n "facts": {json.dumps(found.as_dict())}\n}}\n'.encode())
    return found


def _to_html(stream: BinaryIO, journal: Path, lines: Iterable[_Line]) -> Facts:
    from dermedge import pictures

    found = Facts()
    newest: deque[dict[str, Any]] = deque(maxlen=ROWS)
    for line in lines:
        found.add(line)
        if line is not None:
            newest.append(line)
    kept = {each.path.name for each in pictures.find(pictures.beside(journal))}
    text = page.render(
        "records.html.j2",
        made_up="",
        journal=journal.name,
        exported=_when(_now()),
        since=_when(found.since),
        until=_when(found.until),
        runtimes=sorted({str(record["runtime"]) for record in newest if record.get("runtime")}),
        notices=[NOTICE, *(each for each in found.notices if each != NOTICE)],
        facts=found,
        tiles=_tiles(found, len(kept)),
        decisions=found.decisions.most_common(),
        rows=[_row(record, kept) for record in reversed(newest)],
    )
    stream.write(text.encode(errors="backslashreplace"))
    return found


def _tiles(found: Facts, pictures: int) -> list[tuple[str, str, str]]:
    """The four figures that most readers come for: name, figure, note."""
    lost = found.missing + found.torn
    leading = found.decisions.most_common(1)
    return [
        ("Judgements", f"{found.records:,}", f"numbers {found.first} to {found.last}"),
        ("Most often", leading[0][0] if leading else "-", f"{leading[0][1]:,}" if leading else ""),
        ("Lines lost", f"{lost:,}", "torn lines and missing numbers"),
        ("Pictures kept", f"{pictures:,}", "beside the record, not in this page"),
    ]


def _row(record: dict[str, Any], kept: set[str]) -> dict[str, str]:
    """One record as the page shows it."""
    picture = record.get("picture")
    rule = "set by the user" if record.get("threshold_by_user") is True else ""
    smoothed = record.get("smoothed_decision")
    amiss = {
        "failed its gate": record.get("failed_gate") is True,
        "unsigned": record.get("signature") == UNSIGNED,
    }
    return {
        "sequence": str(record.get("sequence", "-")),
        "time": _when(str(record.get("time", "-"))),
        "decision": str(record.get("decision", "-")),
        "smoothed": f"smoothed: {smoothed} {_number(record, 'smoothed_probability', 3)}"
        if smoothed
        else "",
        "probability": _number(record, "probability", 3),
        "threshold": _number(record, "threshold", 3),
        "rule": rule,
        "quality": str(record.get("quality", "-")),
        "age": _number(record, "age_ms", 0),
        "model": str(record.get("model", "-"))[:12],
        "amiss": "; ".join(text for text, holds in amiss.items() if holds),
        "picture": "" if not picture else "kept" if str(picture) in kept else "deleted",
    }


def _when(text: str) -> str:
    """A time to the second, UTC; what is none is shown as it is."""
    time = history.moment(text)
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else text


def _number(record: dict[str, Any], name: str, digits: int) -> str:
    value = record.get(name)
    with suppress(OverflowError):  # an integer of JSON may be beyond every float
        return f"{value:.{digits}f}" if isinstance(value, int | float) else ""
    return ""


def _aware(time: datetime | None) -> datetime | None:
    if time is None or time.tzinfo:
        return time
    return time.replace(tzinfo=timezone.utc)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
