"""A table whose label is the diagnosis: python docs/examples/by_diagnosis.py LABELS_CSV OUT_CSV.

The photographs stay where they are: name their folder with --images. A split column that is not one
(pad-ufes-20 keeps "biopsed=True" in it) is left out, so that the kit draws its own.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dermedge.table import SPLITS, read_rows, write


def main(source: Path, out: Path) -> None:
    """Write the rows of SOURCE anew, each under its diagnosis."""
    rows = [
        replace(row, label=row.diagnosis, split=row.split if row.split in SPLITS else "")
        for row in read_rows(source)
    ]
    write(rows, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
