"""Views of prepared photographs: view 0 is the photograph, the others are augmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermtrain.augment import Augment, augment
from dermtrain.dataset import Pixels

_Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Views:
    """Photographs and how their views are drawn; the same seed draws the same views.

    Attributes:
        pixels: The prepared photographs.
        how: How views other than 0 are drawn.
        seed: Of the drawing.
    """

    pixels: Pixels
    how: Augment
    seed: int

    def of(self, view: int) -> View:
        """One view of every photograph."""
        return View(self, view)

    def side(self, view: int) -> int:
        """Height and width of a view, pixels."""
        return self.how.side if view and self.how.side else self.pixels.values.shape[1]

    def key(self, view: int) -> str:
        """Changes when the photographs, their preparation, or this view of them changes."""
        return f"{self.pixels.key} {view} {(self.how, self.seed) if view else ''}"

    def draw(self, rows: npt.NDArray[np.int64], draws: Sequence[int], pool: Executor) -> _Images:
        """Fresh views, one for each row and each number in `draws` (not 0), on all threads.

        Returns:
            uint8 (rows, side, side, 3).
        """
        change = self.changer()
        return np.stack(list(pool.map(change, self.pixels.values[rows], rows.tolist(), draws)))

    def changer(self) -> Callable[[_Images, int, int], _Images]:
        """Photograph, its row and the number of a view -> that view."""

        def change(image: _Images, row: int, view: int) -> _Images:
            # A generator of its own for each: neither order nor threads change what is drawn.
            return augment(image, self.how, np.random.default_rng((self.seed, row, view)))

        return change


@dataclass(frozen=True, slots=True)
class View:
    """One view of every photograph, asked for by row numbers; see `features.Source`."""

    views: Views
    number: int

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> _Images:
        """uint8 (rows, side, side, 3)."""
        images = self.views.pixels.values[rows]
        if not self.number:
            return images
        change = self.views.changer()
        return np.stack([change(i, r, self.number) for i, r in zip(images, rows, strict=True)])
