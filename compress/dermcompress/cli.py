"""The compression command: `kit compress`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import Images, Json


def add_commands(app: typer.Typer) -> None:
    """Add this package's command to `kit` (entry point dermkit.commands)."""
    app.command(no_args_is_help=True)(compress)


def compress(
    run: Annotated[Path, typer.Argument(help="A run folder of kit train.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the bundles; RUN/bundles.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Other labelled photographs than the run's own.")
    ] = None,
    images: Images = None,
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "default",
    seed: Annotated[int, typer.Option(help="Of sampling and shuffling.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a trained model small and fast: slim, distil, sparsify, quantize, calibrate, pack.

    Writes small.kit, and beside it float.kit, the full model in the same format.

    \b
    Example:
      kit compress runs/first
      kit compress runs/first --out bundles --recipe default
    """
    from dermcompress import recipe as recipes
    from dermedge import progress
    from dermtrain.cli import load_tensorflow

    how = recipes.load(recipe)
    load_tensorflow()
    from dermcompress import line, steps

    job = line.Job(run, out or run / "bundles", how, seed, data, images)
    print(steps.HEADER, file=sys.stderr, flush=True)
    with progress.drawn() as draw:
        result = line.compress(job, lambda step: print(step, file=sys.stderr, flush=True), draw)
    sizes = {path.name: path.stat().st_size for path in (result.full, result.small)}
    if as_json:
        done = [dataclasses.asdict(step) for step in result.steps]
        print(json.dumps({"steps": done, "bytes": sizes, "folder": str(job.out)}, indent=2))
    else:
        for name, size in sizes.items():
            print(f"{size / 1e6:8.2f} MB  {job.out / name}")
