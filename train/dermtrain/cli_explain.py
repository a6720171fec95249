"""`kit explain`: what the layers see in one photograph, and how far the maps can be believed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import Images, Json


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder of `kit train`.")],
    image: Annotated[Path, typer.Argument(help="A photograph.")],
    out: Annotated[Path, typer.Option(help="Folder of the page and its pictures.")],
    stages: Annotated[
        str, typer.Option(help="Rows of the mosaic: NAME[,NAME].")
    ] = "conv1,conv2,conv3,conv4,conv5",
    grad_cam: Annotated[str, typer.Option(help="Stage at whose end Grad-CAM is taken.")] = "conv4",
    neighbours: Annotated[
        int, typer.Option(min=0, max=24, help="Similar training photographs; 0 leaves them out.")
    ] = 6,
    deletion: Annotated[
        int, typer.Option(min=0, help="Test photographs of the deletion check; 0 leaves it out.")
    ] = 20,
    images: Images = None,
    as_json: Json = False,
) -> None:
    """Show what the layers see in a photograph, and check that the maps mean something.

    The first call on a run looks at all its training photographs and deletes from some of its test
    photographs; both results are kept in the run folder.

    \b
    Example:
      kit explain runs/first photo.jpg --out explained
      kit explain runs/first photo.jpg --out explained --neighbours 0 --deletion 0
    """
    from dermedge import progress
    from dermedge.page import require_installed
    from dermtrain.cli import load_tensorflow

    require_installed()
    load_tensorflow()
    from dermtrain.explain import page, story
    from dermtrain.run import open_run

    names = tuple(name.strip() for name in stages.split(",") if name.strip())
    wanted = story.Wanted(names, grad_cam, neighbours, deletion, images)
    with progress.drawn() as draw:
        found = story.explain(open_run(run), image, wanted, draw)
    path = page.write(found, out)
    for part in found.left_out:
        print(part, file=sys.stderr)
    if as_json:
        print(json.dumps(page.as_dict(found), indent=2))
    else:
        print(f"{page.verdict(found)}\n{path}")
