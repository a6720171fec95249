"""Arguments and options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer


def _expanded(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError as error:  # a service may have no home
        raise typer.BadParameter(f"{folder}: {error} Name the device's folder: --home") from error


def finite(number: float | None) -> float | None:
    """For `callback`: typer lets nan through any bounds, and inf where there is no greatest."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"expected a number, got {number}")
    return number


BundleFile = Annotated[
    Path, typer.Argument(help="A bundle (.kit); or installed, the one in use.", metavar="BUNDLE")
]
PlainFile = Annotated[Path, typer.Argument(help="A bundle (.kit).", metavar="BUNDLE")]
HOME = Path("~/.local/share/dermkit")
Home = Annotated[
    Path,
    typer.Option(
        "--home",
        help="The device's folder: its pinned keys, its installed models.",
        envvar="DERMKIT_HOME",
        callback=_expanded,
    ),
]
AllowUnsigned = Annotated[
    bool,
    typer.Option(
        "--allow-unsigned", help="Also without a pinned key's signature; every result says so."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
# An interpreter makes as many as it is asked for, and dies where the system has no more.
MOST_THREADS = 1024
Threads = Annotated[
    int | None, typer.Option(min=1, max=MOST_THREADS, help="Threads of the interpreter.")
]
Runtime = Annotated[
    str | None,
    typer.Option(
        help="ai-edge-litert, tflite-runtime or openvino. [as kit benchmark --tune kept]",
        metavar="NAME",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="A threshold of your own, in every result. [the bundle's]",
        metavar="P",
        callback=finite,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="A file with the key of the pictures. [$KIT_RECORDS_KEY, the key itself]"),
]
Split = Annotated[str, typer.Option(help="Which rows: train, val, test, val+test, or all.")]
Images = Annotated[
    Path | None, typer.Option(help="Folder of the photographs, if not beside the table.")
]
