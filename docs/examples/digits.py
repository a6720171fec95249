"""Handwritten digits as class folders: python docs/examples/digits.py FOLDER.

scikit-learn ships 1,797 of them (8 x 8 pixels; a copy of the test part of the UCI set "Optical
Recognition of Handwritten Digits", Alpaydin & Kaynak 1998, CC BY 4.0), so nothing is downloaded.
Each is written eight times as large: the kit's own quality gate asks for 64 pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from dermedge.table import TABLE, Row, write

SIDE = 64
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def main(folder: Path) -> None:
    """Write FOLDER/NAME/NNNN.png for each digit, and FOLDER/labels.csv."""
    digits = load_digits()
    rows = []
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        image = f"{NAMES[digit]}/{number:04}.png"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(255 - pixels * (255 / 16)).astype(np.uint8)  # ink is dark
        large = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / image), large)
        rows.append(Row(image, NAMES[digit], licence="CC-BY-4.0"))
    write(rows, folder / TABLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
