"""`kit records`: read, export and delete what was recorded; the key of its pictures."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.options import Json, KeyFile

if TYPE_CHECKING:
    from dermedge.history import Facts

app = typer.Typer(
    no_args_is_help=True, help="What kit camera --record has recorded.", rich_markup_mode=None
)

_Record = Annotated[
    Path, typer.Argument(help="What kit camera --record was given.", metavar="RECORD")
]
_Since = Annotated[
    datetime | None, typer.Option(help="Only from this time on, UTC.", metavar="TIME")
]
_Until = Annotated[
    datetime | None, typer.Option(help="Only before this time, UTC.", metavar="TIME")
]


@app.command(name="list", no_args_is_help=True)
def list_records(
    record: _Record,
    last: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
    since: _Since = None,
    until: _Until = None,
    as_json: Json = False,
) -> None:
    """Show the newest records; a summary, and what is lacking, on standard error.

    \b
    Example:
      kit records list today.jsonl
      kit records list today.jsonl --last 1 --json
    """
    from dermedge import export, history

    newest: deque[dict[str, Any]] = deque(maxlen=last)
    facts = history.Facts()
    for line in export.between(history.scan(record), since, until):
        facts.add(line)
        if line is not None:
            newest.append(line)
    for line in newest:
        print(json.dumps(line) if as_json else _plain(line))
    _tell(facts)


@app.command(no_args_is_help=True)
def export(
    record: _Record,
    out: Annotated[Path, typer.Option(help="A .csv, .json or .html file to write.")],
    since: _Since = None,
    until: _Until = None,
) -> None:
    """Write records as CSV, JSON, or one HTML page that needs no other file and no network.

    Pictures are never part of it.

    \b
    Example:
      kit records export today.jsonl --out today.csv
      kit records export today.jsonl --out november.html --since 2026-11-01 --until 2026-12-01
    """
    from dermedge import export as exporting

    _tell(exporting.write(record, out, since, until))
    print(out)


@app.command(no_args_is_help=True)
def decrypt(
    record: _Record,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, as JPEG.")],
    sequence: Annotated[
        int | None, typer.Option(min=1, help="Only the picture of the record of this number.")
    ] = None,
    key_file: KeyFile = None,
) -> None:
    """Write the pictures of a record into a folder, decrypted.

    \b
    Example:
      kit records decrypt today.jsonl --out pictures --key-file ~/records.key
    """
    from dermedge import atomic, crypt, pictures
    from dermedge.errors import InputError

    key = crypt.load_key(key_file, os.environ.get(crypt.VARIABLE))
    kept = pictures.find(pictures.beside(record))
    wanted = [each for each in kept if sequence in (None, each.sequence)]
    if not wanted:
        which = "" if sequence is None else f" of number {sequence}"
        raise InputError(f"{pictures.beside(record)} holds no picture{which}")
    for each in wanted:
        data = pictures.load(each.path, key)
        with atomic.private(out / each.path.name.removesuffix(".enc")) as stream:
            stream.write(data)
    print(f"{len(wanted)} pictures in {out}")


@app.command(no_args_is_help=True)
def key(
    file: Annotated[Path, typer.Argument(help="File to write, which must not exist.")],
) -> None:
    """Make a secret key for the pictures of records. Without it they can't be read: keep a copy.

    \b
    Example:
      kit records key ~/records.key
    """
    from dermedge import crypt

    crypt.new_key(file)
    print(file)


@app.command(no_args_is_help=True)
def delete(
    record: _Record,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a record: all its files, and all its pictures.

    \b
    Example:
      kit records delete today.jsonl
    """
    from dermedge import erasing

    found = erasing.files(record)
    if not yes:
        typer.confirm(f"Delete {len(found)} files of {record}, its pictures included?", abort=True)
    erasing.erase(record)
    print(f"{len(found)} files deleted")


def _plain(line: dict[str, Any]) -> str:
    """One record as a line for people; what is no letter of a terminal is shown as `?`."""
    remarks = {
        "threshold set by the user": line.get("threshold_by_user") is True,
        "failed its gate": line.get("failed_gate") is True,
        "UNSIGNED": line.get("signature") == "unsigned",
        f"picture {line.get('picture')}": bool(line.get("picture")),
    }
    text = "  ".join(
        (
            f"{line.get('sequence', '-')!s:>8}",
            str(line.get("time", "-")),
            f"{line.get('decision', '-')!s:<14}",
            _number(line.get("probability")),
            f"(threshold {_number(line.get('threshold')).strip()})",
            "; ".join(
                [f"quality {line.get('quality', '-')}", *(k for k, v in remarks.items() if v)]
            ),
        )
    )
    return "".join(each if each.isprintable() else "?" for each in text)


def _number(value: Any) -> str:
    with suppress(OverflowError):  # an integer of JSON may be beyond every float
        return f"{value:6.3f}" if isinstance(value, int | float) else f"{'-':>6}"
    return f"{'-':>6}"


def _tell(facts: Facts) -> None:
    from dermedge.contract import NOTICE

    span = f", numbers {facts.first} to {facts.last}" if facts.last else ""
    lacking = {
        "torn lines left out": facts.torn,
        "numbers missing between them": facts.missing,
        "jumps back of the clock": facts.clock_back,
        "of a model that failed its gate": facts.failed_gate,
        "of an unsigned model": facts.unsigned,
        "decided at a threshold that the user set": facts.by_user,
    }
    told = "".join(f"; {count} {what}" for what, count in lacking.items() if count)
    print(f"{facts.records} records{span}{told}. {NOTICE}", file=sys.stderr)
