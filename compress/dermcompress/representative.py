"""Photographs that stand for all: chosen evenly by class and brightness, and named by a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError
from dermtrain.features import Source

LEAST = 16  # fewer do not show what values a net's layers take


@dataclass(frozen=True, slots=True)
class Representative:
    """Rows of the photographs that were chosen.

    Attributes:
        rows: Their numbers, rising, int64 (n,).
        choice: How they were chosen, in words.
        sha256: Of their pixels, in this order.
    """

    rows: npt.NDArray[np.int64]
    choice: str
    sha256: str

    def as_dict(self) -> dict[str, str | int]:
        """For the contract's provenance."""
        return {"count": len(self.rows), "choice": self.choice, "sha256": self.sha256}


def choose(
    pixels: Source,
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    count: int,
) -> Representative:
    """Choose photographs: of each class as many, from the darkest to the brightest at even steps.

    Args:
        pixels: Gives uint8 (rows, height, width, 3) for the numbers of rows.
        rows: Numbers of the rows to choose from.
        labels: Class of every row of the table.
        count: How many; a class that has fewer than its part gives all.

    Raises:
        InputError: Fewer than sixteen to choose from.
    """
    if min(count, len(rows)) < LEAST:
        raise InputError(
            f"expected at least {LEAST} representative photographs, found {min(count, len(rows))}: "
            "give more training photographs"
        )
    brightness = np.array([pixels[np.array([row])].mean() for row in rows])
    classes = np.unique(labels[rows])
    chosen: list[int] = []
    # The smallest class first: what it can't give, the others do.
    order = sorted(classes, key=lambda c: np.count_nonzero(labels[rows] == c))
    for number, c in enumerate(order):
        members = np.flatnonzero(labels[rows] == c)
        members = members[np.argsort(brightness[members], kind="stable")]
        wanted = min(len(members), round((count - len(chosen)) / (len(order) - number)))
        steps = np.linspace(0, len(members) - 1, wanted) if wanted else np.zeros(0)
        chosen += members[np.unique(np.rint(steps).astype(int))].tolist()
    found = np.sort(rows[chosen])
    digest = hashlib.sha256()
    for row in found:
        digest.update(np.ascontiguousarray(pixels[np.array([row])]).tobytes())
    choice = "training photographs, as many of each class, at even steps of brightness"
    return Representative(found, choice, digest.hexdigest())
