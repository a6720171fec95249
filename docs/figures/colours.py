"""Measure the mean red and blue of each training picture's middle -> docs/data/colours.csv.

kit data synth pictures --images 240 --seed 1
python docs/figures/colours.py pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

import data
import numpy as np

from dermedge import image, table

# The lesion lies in the middle: this share of the width and of the height.
_MIDDLE = slice(192, 320)


def colours(pictures: Path) -> Path:
    """Write one row for each training picture; red and blue from 0 to 1."""
    rows = []
    for row in table.read(pictures).part("train").rows:
        pixels = image.read(pictures / row.image)[_MIDDLE, _MIDDLE]
        red, _, blue = pixels.reshape(-1, 3).mean(axis=0) / 255
        rows.append(
            {
                "picture": Path(row.image).stem,
                "malignant": int(row.label == "malignant"),
                "red": f"{red:.3f}",
                "blue": f"{blue:.3f}",
            }
        )
    head = {
        "data": "Made-up pictures",
        "command": "kit data synth pictures --images 240 --seed 1",
        "measured": "mean colour of the middle 128 x 128 pixels, 0 to 1, training pictures",
    }
    return data.write("colours", head, rows)


def standardised() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Inputs (pictures, 2) in usual spreads from the usual value; targets 0 or 1; names."""
    found = data.read("colours")
    colour = np.array([found.column("red"), found.column("blue")]).T
    inputs = (colour - colour.mean(axis=0)) / colour.std(axis=0)
    names = [row["picture"] for row in found.rows]
    return inputs, np.array(found.column("malignant")), names


if __name__ == "__main__":
    print(colours(Path(sys.argv[1])))
