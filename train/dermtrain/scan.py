"""Every photograph of a table, read once: is it readable, what are its size, colours and hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from dermedge import image
from dermedge.errors import ImageError
from dermedge.model import cores
from dermedge.progress import Progress, silent
from dermedge.table import Row, Table
from dermtrain import duplicates
from dermtrain.parallel import mapped

# Colours are measured on a copy of at most this side, pixels.
_SIDE = 256


@dataclass(frozen=True, slots=True)
class Scan:
    """What was seen, one entry for each row of the table, about 100 bytes each.

    Attributes:
        table: The photographs.
        failures: Row number -> why it can't be read; its other entries are zero.
        digests: SHA-256 of each file, bytes.
        hashes: Perceptual hashes, uint8 (rows, 32).
        sizes: Width and height, pixels, int32 (rows, 2).
        colours: Mean red, green and blue, 0 to 255, float32 (rows, 3).
        contrasts: Standard deviation of the brightness, 0 to 255, float32 (rows,).
    """

    table: Table
    failures: dict[int, str]
    digests: tuple[bytes, ...]
    hashes: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int32]
    colours: npt.NDArray[np.float32]
    contrasts: npt.NDArray[np.float32]

    @property
    def readable(self) -> npt.NDArray[np.bool_]:
        """Which rows could be read, bool (rows,)."""
        found = np.ones(len(self.table.rows), bool)
        found[list(self.failures)] = False
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    digest: bytes
    failure: str = ""
    bits: npt.NDArray[np.uint8] | None = None
    size: tuple[int, int] = (0, 0)
    colour: tuple[float, ...] = (0.0, 0.0, 0.0)
    contrast: float = 0.0


def scan(table: Table, progress: Progress = silent) -> Scan:
    """Read every photograph once, on all cores; a file that can't be read is noted, not raised.

    Beside the results, only the photographs under way lie in memory.
    """
    count = len(table.rows)
    failures: dict[int, str] = {}
    digests: list[bytes] = []
    hashes = np.zeros((count, duplicates.HASH_BYTES), np.uint8)
    sizes, colours = np.zeros((count, 2), np.int32), np.zeros((count, 3), np.float32)
    contrasts = np.zeros(count, np.float32)
    looks = mapped(partial(_look, table), table.rows, cores(), 2 * cores())
    for number, look in enumerate(looks):
        digests.append(look.digest)
        if look.bits is None:
            failures[number] = look.failure
        else:
            hashes[number], sizes[number] = look.bits, look.size
            colours[number], contrasts[number] = look.colour, look.contrast
        progress("photographs", number + 1, count)
    return Scan(table, failures, tuple(digests), hashes, sizes, colours, contrasts)


def _look(table: Table, row: Row) -> _Look:
    path = table.path(row)
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Look(b"", f"{row.image} can't be read: {error.strerror or error}")
    digest = hashlib.sha256(data).digest()
    try:
        pixels = image.decode(data, row.image)
        bits = duplicates.hash_bytes(data, row.image)
    except ImageError as error:
        return _Look(digest, str(error))
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    colour = tuple(float(value) for value in small.reshape(-1, 3).mean(axis=0))
    contrast = float(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).std())
    return _Look(digest, "", bits, (width, height), colour, contrast)
