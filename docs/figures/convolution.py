"""One small kernel, carried over one picture: the same nine knobs at every place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from layers import lesion
from matplotlib.patches import Rectangle
from sheet import INK, ORANGE, PINK, bare, sheet

SIDE = 64
# Sobel's kernel: bright above, dark below, gives a positive answer (Duda & Hart 1973).
KERNEL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)


def sharing(path: Path) -> None:
    """Picture, kernel, and the map of its answers."""
    grey = cv2.cvtColor(lesion(512), cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    answers = cv2.filter2D(grey, cv2.CV_32F, KERNEL)[1:-1, 1:-1]
    note = f"One made-up picture, {SIDE} x {SIDE}, one brightness a pixel; Sobel's kernel."
    with sheet(path, 3, (9.2, 3.6), note, (1, 0.55, 1)) as (photo, kernel, map_):
        for axes in (photo, kernel, map_):
            bare(axes)
        photo.imshow(grey, cmap="gray")
        limit = float(np.abs(answers).max())
        map_.imshow(answers, cmap="PuOr_r", vmin=-limit, vmax=limit)
        # The strongest answers: bright above dark in the upper half, the reverse in the lower.
        half = SIDE // 2
        y, x = np.unravel_index(answers[:half].argmax(), answers[:half].shape)
        v, u = np.unravel_index(answers[half:].argmin(), answers[half:].shape)
        spots = [(int(x) + 1, int(y) + 1), (int(u) + 1, int(v) + half + 1)]
        for (x, y), colour in (((13, 50), INK), (spots[0], ORANGE), (spots[1], PINK)):
            photo.add_patch(
                Rectangle((x - 1.5, y - 1.5), 3, 3, fill=False, edgecolor=colour, linewidth=2.2)
            )
            spot = (x - 1.5, y - 1.5)
            map_.add_patch(Rectangle(spot, 1, 1, fill=False, edgecolor=colour, linewidth=2.2))
            value = float(answers[y - 1, x - 1])
            map_.text(x + 1.5, y - 2, f"{value:+.0f}", color=INK, fontsize=10.5)
        kernel.imshow(KERNEL, cmap="PuOr_r", vmin=-4, vmax=4)
        for (row, column), value in np.ndenumerate(KERNEL):
            kernel.text(column, row, f"{value:+.0f}".replace("+0", "0"), ha="center", va="center")
        photo.set_title("the picture")
        kernel.set_title("the nine knobs")
        map_.set_title(f"their answer at {answers.size:,} places")
