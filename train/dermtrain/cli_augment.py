"""`kit data augment`: what a recipe's augmentation does to a photograph, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def augment_command(
    image: Annotated[Path, typer.Argument(help="A photograph.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "default",
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("augment.png"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same picture.")] = 0,
    draws: Annotated[int, typer.Option(min=1, max=200, help="Random draws to show.")] = 18,
    image_size: Annotated[int, typer.Option(min=32, max=1024, help="Side, pixels.")] = 299,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Show the 15 corruptions of `evaluate` instead.")
    ] = False,
) -> None:
    """Show what a recipe's augmentation does to a photograph: each change alone, and all at once.

    \b
    Example:
      kit data augment lesion.jpg --out augment.png
      kit data augment lesion.jpg --corruptions --out corruptions.png
    """
    import numpy as np

    from dermedge import contract
    from dermedge.image import read
    from dermedge.prepare import prepare
    from dermtrain import gallery
    from dermtrain.augment import Augment
    from dermtrain.recipe import Recipe, load

    how = getattr(load(Recipe, recipe, Path(__file__).parent), "augment", Augment())
    spec = contract.Input(image_size, image_size)
    pixels = np.asarray(prepare(read(image), spec)[0], np.uint8)
    if corruptions:
        what = gallery.corruptions(out, pixels, image.name, seed)
    else:
        what = gallery.augmentation(out, pixels, f"{image.name}, recipe {recipe}", how, draws, seed)
    print(f"{what}\n{out}")
