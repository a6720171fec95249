"""Each change of the augmentation alone, by name: for pictures of what a recipe allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dermedge.errors import InputError
from dermedge.image import RGB
from dermtrain.augment import Augment, Draw, change

# What each change is called, the field that rules it, and what it does at its strongest.
_ALONE: dict[str, tuple[str, Callable[[Augment], Draw]]] = {
    "mirrored": ("flip", lambda how: Draw(mirror=True)),
    "upside down": ("flip", lambda how: Draw(upside=True)),
    "quarter turn": ("quarter", lambda how: Draw(quarters=1)),
    "rotation": ("rotate", lambda how: Draw(angle=how.rotate)),
    "zoom in": ("zoom_in", lambda how: Draw(zoom=1 + how.zoom_in)),
    "zoom out": ("zoom_out", lambda how: Draw(zoom=1 / (1 + how.zoom_out))),
    "wider": ("stretch", lambda how: Draw(stretch=1 + how.stretch)),
    "narrower": ("stretch", lambda how: Draw(stretch=1 / (1 + how.stretch))),
    "crop": ("side", lambda how: Draw(place=(-1.0, -1.0))),
    "colour constancy": ("constancy", lambda how: Draw(constancy=1.0)),
    "brighter": ("brightness", lambda how: Draw(brightness=1 + how.brightness)),
    "darker": ("brightness", lambda how: Draw(brightness=1 - how.brightness)),
    "more contrast": ("contrast", lambda how: Draw(contrast=1 + how.contrast)),
    "less contrast": ("contrast", lambda how: Draw(contrast=1 - how.contrast)),
    "more saturated": ("saturation", lambda how: Draw(saturation=1 + how.saturation)),
    "less saturated": ("saturation", lambda how: Draw(saturation=1 - how.saturation)),
    "hue up": ("hue", lambda how: Draw(hue=how.hue)),
    "hue down": ("hue", lambda how: Draw(hue=-how.hue)),
    "hair": ("hair", lambda how: Draw(hair=True)),
    "ruler": ("ruler", lambda how: Draw(ruler=True)),
    "vignette": ("vignette", lambda how: Draw(vignette=True)),
}
CHANGES: tuple[str, ...] = tuple(_ALONE)


def field(name: str) -> str:
    """The field of `Augment` that rules a change of CHANGES."""
    return _ALONE[name][0]


def alone(image: RGB, name: str, how: Augment, random: np.random.Generator) -> RGB:
    """Show one change alone, as strong as the recipe allows.

    Args:
        image: uint8 (height, width, 3), RGB.
        name: One of CHANGES.
        how: Where the strengths come from; a probability counts as 1.
        random: For the shapes of hairs, ruler and vignette.

    Returns:
        uint8 (height, width, 3), RGB; `crop` alone gives (how.side, how.side, 3).

    Raises:
        InputError: An unknown name, or a photograph smaller than how.side.
    """
    if name not in _ALONE:
        raise InputError(f"no change {name!r}; known: {', '.join(CHANGES)}")
    rule, at_most = _ALONE[name]
    return change(image, at_most(how), random, how.side if rule == "side" else 0)
