"""The compression command: `kit compress`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import Images, Json, finite
from dermtrain.options import Cache, CacheLimit, cache_folder

_MaxMs = Annotated[
    float | None,
    typer.Option(min=0.001, callback=finite, help="Greatest median latency, ms, on this machine."),
]
_MaxMb = Annotated[
    float | None, typer.Option(min=0.001, callback=finite, help="Largest model file, MB.")
]
_Drop = Annotated[
    float | None,
    typer.Option(min=0, max=1, callback=finite, help="Bearable loss of AUC. [the recipe's gate]"),
]
_Unlabelled = Annotated[
    list[Path] | None,
    typer.Option(
        help="A folder of photographs without labels, or a CSV file with a column `image`: the "
        "full model teaches on them too. Give it again for more."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add this package's command to `kit` (entry point dermkit.commands)."""
    app.command(no_args_is_help=True)(compress)


def compress(
    run: Annotated[Path, typer.Argument(help="A run folder of kit train.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the bundles; RUN/bundles.")] = None,
    rungs: Annotated[
        str, typer.Option(help="NAME[,NAME] or all. [the recipe's `ship`, until one passes]")
    ] = "",
    max_ms: _MaxMs = None,
    max_mb: _MaxMb = None,
    max_auc_drop: _Drop = None,
    force: Annotated[
        bool, typer.Option(help="Ship even what fails, marked as failed wherever it is used.")
    ] = False,
    maps: Annotated[
        bool, typer.Option(help="Also give the class-activation map and the embedding.")
    ] = True,
    data: Annotated[
        Path | None, typer.Option(help="Other labelled photographs than the run's own.")
    ] = None,
    images: Images = None,
    unlabelled: _Unlabelled = None,
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "default",
    seed: Annotated[int, typer.Option(min=0, help="Of sampling and shuffling.")] = 0,
    cache: Cache = None,
    cache_limit: CacheLimit = 30.0,
    as_json: Json = False,
) -> None:
    """Make a trained model small and fast, prove it, and refuse to ship what fails.

    Builds the recipe's rungs (slim, distil, sparsify, quantize), calibrates each anew, measures
    them beside the full model, and ships the first that passes the gate as small.kit; of those that
    --rungs names, all are built, and the fastest that passes is shipped. The full model is
    float.kit, the page ladder.html. Exit code 3 if none passes and keeps the limits. Finished
    steps are kept: an interrupted command, called again, goes on.

    \b
    Example:
      kit compress runs/first
      kit compress runs/first --rungs all
      kit compress runs/first --rungs all --max-ms 40 --max-mb 8 --max-auc-drop 0.02
    """
    from dataclasses import replace

    from dermcompress import recipe as recipes
    from dermedge import page, progress
    from dermtrain.cli import load_tensorflow
    from dermtrain.store import Store

    page.require_installed()
    how = recipes.load(recipe)
    if max_auc_drop is not None:
        how = replace(how, gate=replace(how.gate, max_auc_drop=max_auc_drop))
    how.attempts(rungs)  # before TensorFlow, which takes seconds
    load_tensorflow()
    from dermcompress import ladder_table, line
    from dermcompress.ladder import Limits

    job = line.Job(
        run=run,
        out=out or run / "bundles",
        recipe=how,
        rungs=rungs,
        limits=Limits(max_ms, max_mb),
        force=force,
        whole=maps,
        seed=seed,
        data=data,
        images=images,
        unlabelled=tuple(unlabelled or ()),
    )
    with progress.drawn() as draw, Store(*cache_folder(cache, cache_limit)) as store:
        result = line.compress(job, store, _say, draw)
    if as_json:
        print(json.dumps(result.ladder.as_dict(), indent=2))
    else:
        print(ladder_table.to_text(result.ladder))
    print(f"Page: {result.page}", file=sys.stderr)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
