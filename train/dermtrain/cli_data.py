"""`kit data`: make, fetch, import and check labelled photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import Images, Json
from dermtrain.cli_augment import augment_command
from dermtrain.cli_import import import_command, pull_command

app = typer.Typer(no_args_is_help=True, help="Labelled photographs.", rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Labelled photographs."""


@app.command(no_args_is_help=True)
def synth(
    out: Annotated[Path, typer.Argument(help="New folder.")],
    images: Annotated[int, typer.Option(help="Number of pictures.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
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
app.command("import", no_args_is_help=True)(import_command)
app.command("pull", no_args_is_help=True)(pull_command)


@app.command(no_args_is_help=True)
def check(
    source: Annotated[
        Path, typer.Argument(help="CSV, folder with labels.csv, class folders, or a run.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for check.html, with pictures, and check.json.")
    ] = None,
    images: Images = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with labelled photographs, and count what they are.

    Errors (exit code 4): unreadable photographs; a patient, lesion or near-duplicate in two splits;
    the same file with two labels. To be looked at: copies, near-duplicates, lesions with two
    labels.

    \b
    Example:
      kit data check photos/
      kit data check photos/labels.csv --out checked
      kit data check runs/first --out checked
    """
    import json

    from dermedge import page, progress, table
    from dermtrain import check_page, check_words
    from dermtrain.check import check as look
    from dermtrain.check import refuse_errors

    if out:
        page.require_installed()
    with progress.drawn() as draw:
        checked = look(table.read(source, images), draw)
    written = check_page.write(checked, out) if out else None
    if as_json:
        print(json.dumps(check_words.as_dict(checked), indent=2))
    else:
        print(check_words.as_text(checked))
        if written:
            print(written)
    refuse_errors(checked)
