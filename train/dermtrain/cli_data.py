"""`kit data`: make, fetch, import and check labelled photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermtrain.cli_augment import augment_command

app = typer.Typer(no_args_is_help=True, help="Labelled photographs.", rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Labelled photographs."""


@app.command(no_args_is_help=True)
def synth(
    out: Annotated[Path, typer.Argument(help="New folder.")],
    images: Annotated[int, typer.Option(help="Number of pictures.")] = 240,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    classes: Annotated[int, typer.Option(help="2 (benign, malignant), or 7 as in HAM10000.")] = 2,
) -> None:
    """Draw a made-up, dermoscopy-like set to try the kit on.

    \b
    Example:
      kit data synth pictures --images 240 --seed 0
      kit data synth seven --images 600 --classes 7
    """
    from dermedge import progress
    from dermtrain.synthetic import make_set

    with progress.drawn() as draw:
        table = make_set(out, images, seed, progress=draw, classes=classes)
    print(f"{images} made-up pictures: {table}")


app.command("augment", no_args_is_help=True)(augment_command)
