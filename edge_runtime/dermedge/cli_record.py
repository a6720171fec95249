"""The part of `kit camera` that records: `--record`, `--keep-pictures`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dermedge.recorder import Keep, Recorder

Record = Annotated[
    Path | None, typer.Option(help="Record every judgement in this file, see kit records.")
]
RecordMb = Annotated[int, typer.Option(min=1, help="Greatest size of the record, MB.")]
KeepPictures = Annotated[
    bool, typer.Option("--keep-pictures", help="Keep each judged picture beside the record.")
]
PicturesMb = Annotated[int, typer.Option(min=1, help="Greatest size of all pictures, MB.")]
PicturesDays = Annotated[float, typer.Option(min=0.01, help="Pictures older than this go, days.")]


def keep(
    record: Path | None, wanted: bool, megabytes: int, days: float, key_file: Path | None
) -> Keep | None:
    """How pictures are kept; None if they are not.

    Raises:
        KitError: An option that makes no sense without another, a key that can't be used.
    """
    from dermedge.crypt import VARIABLE, load_key
    from dermedge.recorder import Keep

    if not wanted:
        if key_file is not None:
            raise typer.BadParameter("--key-file encrypts pictures; add --keep-pictures")
        return None
    if record is None:
        raise typer.BadParameter("--keep-pictures keeps them beside the record; add --record PATH")
    return Keep(load_key(key_file, os.environ.get(VARIABLE)), megabytes << 20, days)


def recorder(
    stack: ExitStack, path: Path | None, megabytes: int, kept: Keep | None
) -> Recorder | None:
    """The record, open; the stack closes it."""
    from dermedge.recorder import Recorder

    if path is None:
        return None
    return stack.enter_context(Recorder(path, megabytes << 20, kept))
