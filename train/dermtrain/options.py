"""Options that several commands of the training host share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of prepared photographs and features. [~/.cache/dermkit]"),
]
CacheLimit = Annotated[float, typer.Option(min=0.1, help="Its greatest size, GB.")]


def cache_folder(given: Path | None, limit: float) -> tuple[Path, int]:
    """The folder that the user gave, or the usual place for caches, and its limit in bytes."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dermkit"
    return given or usual, int(limit * 1e9)
