"""Near-duplicates: photographs that look the same, by perceptual hash (pHash, imagehash)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermedge.errors import ImageError, some
from dermedge.model import cores
from dermedge.progress import Progress, silent
from dermtrain.parallel import mapped

# Near-duplicates: two photographs whose 256-bit perceptual hashes differ in at most so many bits.
NEAR_BITS = 16
HASH_BYTES = 32
_HASH_SIDE = 16
# Pairs that are compared at once: 64 x 1024 words of 8 bytes stay in a processor's cache.
_ROWS, _COLUMNS = 64, 1024

Hashes = npt.NDArray[np.uint8]


def hash_bytes(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """Perceptual hash of one image file's bytes, uint8 (32,); `where` names it in errors.

    Raises:
        ImageError: Not a readable photograph.
    """
    try:
        with Image.open(io.BytesIO(data)) as photograph:
            photograph.draft("L", (256, 256))
            return np.packbits(imagehash.phash(photograph, hash_size=_HASH_SIDE).hash)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{where} can't be read: {error}") from error


def hashes(paths: Sequence[Path], progress: Progress = silent) -> Hashes:
    """Perceptual hashes of photographs, uint8 (photographs, 32), on all cores.

    Raises:
        ImageError: Photographs that can't be read, with their names.
    """
    found, failures = np.zeros((len(paths), HASH_BYTES), np.uint8), []
    for number, bits in enumerate(mapped(_hash_file, paths, cores())):
        if isinstance(bits, str):
            failures.append(bits)
        else:
            found[number] = bits
        progress("near-duplicates", number + 1, len(paths))
    if failures:
        raise ImageError(f"{len(failures)} photographs: {some(failures, ';')}")
    return found


def near_pairs(bits: Hashes, limit: int = NEAR_BITS) -> npt.NDArray[np.int64]:
    """All pairs of hashes that differ in at most `limit` bits, int64 (pairs, 3): i < j, distance.

    Every pair is looked at, so nothing is missed whatever the photographs are; but in blocks inside
    numpy, in threads, and mostly at one word of 64 bits: a pair that differs in more than `limit`
    bits there does so in all. That is the word whose bits are the most evenly set. 100,000
    photographs take about a minute and a few MB. An index (multi-index hashing, BK-tree) would do
    less work on even hashes, but skin photographs share their coarse layout, which fills its
    buckets unevenly, and its worst case is the same.

    Args:
        bits: uint8 (n, 32).
        limit: Bits.
    """
    words = np.ascontiguousarray(bits).view(np.uint64)
    if len(words) < 2:
        return np.zeros((0, 3), np.int64)
    share = np.unpackbits(bits, axis=1).mean(axis=0)
    screen = int((share * (1 - share)).reshape(words.shape[1], 64).sum(axis=1).argmax())
    first = np.ascontiguousarray(words[:, screen])

    def rows(start: int) -> npt.NDArray[np.int64]:
        found = [np.zeros((0, 2), np.int64)]
        for column in range(start, len(words), _COLUMNS):
            apart = first[start : start + _ROWS, None] ^ first[None, column : column + _COLUMNS]
            near = np.flatnonzero(_ones(apart) <= limit)  # argwhere takes ten times as long
            row, other = np.divmod(near, apart.shape[1])
            found.append(np.column_stack([row + start, other + column]))
        pairs = np.concatenate(found)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        distance = _ones(words[pairs[:, 0]] ^ words[pairs[:, 1]]).sum(axis=1, dtype=np.int64)
        return np.column_stack([pairs, distance])[distance <= limit]

    return np.concatenate(list(mapped(rows, range(0, len(words), _ROWS), cores())))


def components(count: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the groups that pairs (their first two columns) join, int64 (count,)."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _hash_file(path: Path) -> npt.NDArray[np.uint8] | str:
    """The hash, or why there is none."""
    try:
        return hash_bytes(path.read_bytes(), str(path))
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"


def _ones(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Set bits of each word."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    ones = np.unpackbits(words[..., None].view(np.uint8), axis=-1)  # numpy 1: slower, the same
    return ones.sum(axis=-1, dtype=np.uint8)
