"""The part of `kit camera` that records: `--record`, `--keep-pictures`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermedge.options import finite

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
PicturesDays = Annotated[
    float, typer.Option(min=0.01, help="Pictures older than this go, days.", callback=finite)
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for, as they were given."""

    path: Path | None
    megabytes: int
    pictures: bool
    pictures_mb: int
    pictures_days: float
    key_file: Path | None


def check(wish: Wish) -> None:
    """Refuse options that make no sense without another.

    Raises:
        BadParameter: Says which one is lacking.
    """
    if wish.key_file is not None and not wish.pictures:
        raise typer.BadParameter("--key-file encrypts pictures; add --keep-pictures")
    if wish.pictures and wish.path is None:
        raise typer.BadParameter("--keep-pictures keeps them beside the record; add --record PATH")


def keep(wish: Wish) -> Keep | None:
    """How pictures are kept; None if they are not.

    Raises:
        KitError: A key that can't be used.
    """
    from dermedge.crypt import VARIABLE, load_key
    from dermedge.recorder import Keep

    if not wish.pictures:
        return None
    key = load_key(wish.key_file, os.environ.get(VARIABLE))
    return Keep(key, wish.pictures_mb << 20, wish.pictures_days)


def recorder(stack: ExitStack, wish: Wish, kept: Keep | None) -> Recorder | None:
    """The record, open; the stack closes it."""
    from dermedge.recorder import Recorder

    if wish.path is None:
        return None
    return stack.enter_context(Recorder(wish.path, wish.megabytes << 20, kept))
