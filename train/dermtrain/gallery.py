"""What is shown of one photograph: a recipe's augmentation, and the corruptions of the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dermedge.image import RGB
from dermtrain import contact
from dermtrain.augment import Augment, augment
from dermtrain.changes import CHANGES, alone, field
from dermtrain.contact import Section
from dermtrain.corruptions import NAMES, SEVERITIES, corrupt


def augmentation(
    path: Path, image: RGB, source: str, how: Augment, draws: int, seed: int = 0
) -> str:
    """Write a sheet: the photograph, each change alone, and random draws of everything.

    Args:
        path: PNG.
        image: Prepared photograph, uint8 (height, width, 3), RGB.
        source: Where it and the recipe come from; stands in the title.
        how: The recipe's augmentation.
        draws: How many draws to show.
        seed: The same seed gives the same sheet.

    Returns:
        What was drawn, in one line.

    Raises:
        InputError: The photograph is smaller than how.side.
        StorageError: The sheet can't be written.
    """
    used = [name for name in CHANGES if getattr(how, field(name)) > 0]
    unused = [name for name in CHANGES if name not in used]
    tiles = [("the photograph", image)]
    for number, name in enumerate(used):
        picture = alone(image, name, how, np.random.default_rng((seed, 1, number)))
        tiles.append((f"{name}\n{field(name)} = {getattr(how, field(name)):g}", picture))
    note = "As strong as the recipe allows"
    if unused:
        note += f"; left out by the recipe: {', '.join(unused)}"
    random = np.random.default_rng((seed, 0))
    drawn = [(str(number + 1), augment(image, how, random)) for number in range(draws)]
    sections = [
        Section("Each change alone", f"{note}.", tiles),
        Section("All at once", f"{draws} draws, as training sees them; seed {seed}.", drawn),
    ]
    contact.draw(path, f"Augmentation of {source}", sections, columns=6, tile=224)
    return f"{len(used)} changes and {draws} draws"


def corruptions(path: Path, image: RGB, source: str, seed: int = 0) -> str:
    """Write a sheet of every corruption in every severity, one a row.

    Args:
        path: PNG.
        image: Prepared photograph, uint8 (height, width, 3), RGB.
        source: Where it comes from; stands in the title.
        seed: The same seed gives the same sheet.

    Returns:
        What was drawn, in one line.

    Raises:
        StorageError: The sheet can't be written.
    """
    tiles: list[tuple[str, RGB]] = []
    for name in NAMES:
        tiles.append((name, image))
        tiles += [(f"severity {s}", corrupt(image, name, s, seed)) for s in SEVERITIES]
    note = f"The photograph on the left; severity 1 to 5 to the right. Seed {seed}."
    section = Section("The corruptions of MedMNIST-C's dermatology list", note, tiles)
    contact.draw(path, f"Corruptions of {source}", [section], columns=6, tile=160)
    return f"{len(NAMES)} corruptions in {len(SEVERITIES)} severities"
