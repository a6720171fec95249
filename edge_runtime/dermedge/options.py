"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFile = Annotated[Path, typer.Argument(help="A bundle (.kit).", metavar="BUNDLE")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the interpreter.")]
Split = Annotated[str, typer.Option(help="Which rows: train, val, test or all.")]
Images = Annotated[
    Path | None, typer.Option(help="Folder of the photographs, if not beside the table.")
]
