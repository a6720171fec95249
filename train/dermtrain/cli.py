"""The training host's commands: `kit train`, and those of the other modules."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.errors import MissingError
from dermedge.options import Images, Json
from dermedge.quiet import quiet
from dermtrain import cli_data, cli_explain
from dermtrain.options import Cache, CacheLimit, cache_folder

if TYPE_CHECKING:
    from dermtrain.history import Entry


def add_commands(app: typer.Typer) -> None:
    """Add this package's commands to `kit` (entry point dermkit.commands)."""
    app.command(no_args_is_help=True)(train)
    app.command(no_args_is_help=True)(cli_explain.explain)
    app.add_typer(cli_data.app, name="data")


def train(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Argument(help="CSV, folder with labels.csv, or folder of class folders.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New run folder.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    weights: Annotated[
        str, typer.Option(help="imagenet, none, or a file (.npz, .h5).")
    ] = "imagenet",
    positive: Annotated[
        str, typer.Option(help="Classes that count as positive: NAME[,NAME]; or none.")
    ] = "malignant",
    image_size: Annotated[int, typer.Option(min=32, max=1024, help="Side, pixels.")] = 299,
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "default",
    seed: Annotated[int, typer.Option(min=0, help="Of split, start and shuffling.")] = 0,
    resplit: Annotated[bool, typer.Option(help="Ignore the table's split column.")] = False,
    images: Images = None,
    precision: Annotated[
        str, typer.Option(help="auto, float32, mixed_float16 or mixed_bfloat16.")
    ] = "auto",
    cache: Cache = None,
    cache_limit: CacheLimit = 30.0,
    tensorboard: Annotated[bool, typer.Option(help="Write RUN/tensorboard.")] = False,
    mlflow: Annotated[str, typer.Option(help="Tracking URI of MLflow (extra mlflow).")] = "",
    as_json: Json = False,
) -> None:
    """Train the full model: transfer on a frozen base, then fine-tuning from the top.

    Recipes: default (pretrained weights), head (transfer alone) and scratch (for --weights none).
    After an interruption, --resume goes on from the last finished epoch.

    \b
    Example:
      kit train photos/ --out runs/first
      kit train photos/ --out runs/first --weights resnet50.npz --resplit
      kit train --resume runs/first
    """
    from dermedge import progress
    from dermtrain.history import History
    from dermtrain.recipe import Recipe, load
    from dermtrain.store import Store

    _check_resume(context, data, out, resume)
    how = load(Recipe, recipe, Path(__file__).parent)  # before TensorFlow, which takes seconds
    load_tensorflow()
    from dermtrain import board, job

    if data and out:
        names = tuple(name.strip() for name in positive.split(",") if name.strip())
        given = (weights, names, image_size, seed, images, resplit, precision)
        task = job.Job(data, out, how, *given)
    else:
        task = job.resume(resume or Path(), images)
    history = History(_print_entry)
    with board.boards(task, tensorboard, mlflow) as listeners:
        for listener in listeners:
            history.listen(listener)
        with progress.drawn() as draw, Store(*cache_folder(cache, cache_limit)) as store:
            run = job.train(task, store, history, _say, draw)
    if run is None:
        print("this machine's part is done; the first machine writes the run")
        return
    metrics = run.contract.provenance.metrics
    if as_json:
        print(json.dumps({"run": str(task.out), **metrics}, indent=2))
    else:
        made_up = " (made-up pictures)" if run.contract.provenance.made_up else ""
        print(f"test{made_up}: {_figures(metrics['test'])}\n{task.out}")


def _check_resume(
    context: typer.Context, data: Path | None, out: Path | None, resume: Path | None
) -> None:
    """Either a new run with data and out, or an old one with all that it was begun with."""
    if resume is None:
        if data is None or out is None:
            raise typer.BadParameter("give DATA and --out for a new run, or --resume RUN")
        return
    free = {"resume", "images", "cache", "cache_limit", "tensorboard", "mlflow", "as_json"}
    given = [
        name
        for name in context.params
        if name not in free
        and getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(
            f"--resume goes on with what the run was begun with: leave out {', '.join(given)}"
        )


def load_tensorflow() -> None:
    """Import TensorFlow without its greetings, or say what to install.

    Raises:
        MissingError: It is.
    """
    from importlib.util import find_spec

    if not all(find_spec(name) for name in ("tensorflow", "tf_keras", "sklearn")):
        raise MissingError("this needs TensorFlow; run: pip install 'dermkit[train]'")
    with quiet():  # it looks for CUDA aloud, when imported and when first asked for devices
        import tensorflow as tf

        tf.config.list_physical_devices()


def _figures(test: Mapping[str, Any]) -> str:
    """The figures of the test in one line; see `dermtrain.calibrate.freeze`."""

    def share(name: str) -> str:
        found = test[name]
        return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"

    if "accuracy" not in test:
        return (
            f"AUC {share('auc')}, sensitivity {test['sensitivity']['value']:.2f}, "
            f"specificity {test['specificity']['value']:.2f}, n = {test['n']}"
        )
    of_named = test["named_accuracy"]
    right = f", {of_named['value']:.2f} of them right" if of_named else ""
    return (
        f"accuracy {share('accuracy')}, mean AUC of {test['classes']} classes {share('auc')}, "
        f"named {test['named']['value']:.2f}{right}, n = {test['n']}"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_entry(entry: Entry) -> None:
    untrained = entry.epoch == 0 and math.isnan(entry.loss)  # judged before its first step
    loss = f"{'-':6}" if untrained else f"{entry.loss:.4f}"
    print(
        f"{entry.phase:<9} {entry.epoch:>3}  rate {entry.learning_rate:.1e}  "
        f"loss {loss}  val loss {entry.val_loss:.4f}  val AUC {entry.val_auc:.4f}  "
        f"{entry.seconds:.0f} s" + (f"  idle {entry.idle:.0%}" if entry.idle >= 0.01 else ""),
        file=sys.stderr,
        flush=True,
    )
