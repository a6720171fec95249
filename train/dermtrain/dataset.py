"""Table -> prepared pixels, once, on disk: every photograph through dermedge.prepare."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermedge import atomic, image, quality
from dermedge.contract import Input
from dermedge.errors import ImageError, InputError
from dermedge.model import cores
from dermedge.prepare import prepare
from dermedge.progress import Progress, silent
from dermedge.table import Row, Table

_SHOWN = 5
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Pixels:
    """Prepared photographs of a table, in its order.

    Attributes:
        table: Where they come from.
        values: uint8 (rows, height, width, 3), RGB; on disk, read as needed.
        figures: What the quality gate measured on each original.
        key: Changes when a photograph, the order or the preparation changes.
    """

    table: Table
    values: npt.NDArray[np.uint8]
    figures: tuple[quality.Figures, ...]
    key: str

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Numbers of the rows of one split, int64."""
        return np.flatnonzero([row.split == split for row in self.table.rows])


def prepare_table(table: Table, spec: Input, cache: Path, progress: Progress = silent) -> Pixels:
    """Read and prepare every photograph once; a second call finds them in the cache folder.

    Raises:
        InputError: Photographs that can't be read, with their names.
        StorageError: The cache does not fit on the disk.
    """
    key = _key(table, spec)
    pixels, notes = cache / f"pixels-{key}.npy", cache / f"pixels-{key}.json"
    if not (pixels.is_file() and notes.is_file()):
        figures = _fill(table, spec, pixels, progress)
        atomic.write_text(notes, json.dumps([dataclasses.asdict(f) for f in figures]))
    figures = tuple(quality.Figures(**f) for f in json.loads(notes.read_text(encoding="utf-8")))
    return Pixels(table, np.load(pixels, mmap_mode="r"), figures, key)


def targets(table: Table, classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Class number of each row, int64 (rows,).

    Raises:
        InputError: A label that is not among the classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = sorted({row.label for row in table.rows} - set(numbers))
    if unknown:
        raise InputError(
            f"{table.source}: unknown label {', '.join(unknown)}; "
            f"the model knows {', '.join(classes)}"
        )
    return np.array([numbers[row.label] for row in table.rows])


def _fill(table: Table, spec: Input, path: Path, progress: Progress) -> list[quality.Figures]:
    shape = (len(table.rows), spec.height, spec.width, 3)

    def load(row: Row) -> tuple[npt.NDArray, quality.Figures] | str:
        try:
            photograph = image.read(table.path(row))
        except ImageError as error:
            return str(error)
        return prepare(photograph, spec)[0], quality.measure(photograph)

    figures, failures = [], []
    with atomic.whole(path) as temporary, ThreadPoolExecutor(cores()) as pool:
        values = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for start in range(0, len(table.rows), _BLOCK):  # by blocks: an interrupt is soon heeded
            loaded = pool.map(load, table.rows[start : start + _BLOCK])
            for number, item in enumerate(loaded, start):
                if isinstance(item, str):
                    failures.append(item)
                    continue
                values[number] = item[0]
                figures.append(item[1])
                progress("photographs", number + 1, len(table.rows))
        if failures:
            more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
            raise InputError(f"{len(failures)} photographs: {'; '.join(failures[:_SHOWN])}{more}")
        values.flush()
    return figures


def _key(table: Table, spec: Input) -> str:
    digest = hashlib.sha256(repr(spec).encode())
    for row in table.rows:
        found = table.path(row).stat()
        digest.update(f"{row.image} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
