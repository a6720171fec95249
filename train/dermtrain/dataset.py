"""Table -> prepared pixels, once, on disk: every photograph through dermedge.prepare.

The rows go, in their order, into shards of some hundred photographs (see `shards`), each named
after what it is made of: an interrupted run goes on with the first shard that is missing, and
photographs added or changed cost no more than the shards they are in. Shards that no table asks
for any more stay until their folder goes (see `store`).

One thread for each core reads, decodes and resizes; OpenCV lets go of the interpreter meanwhile.
In memory are two shards (one is written, the next made ready) and in each thread one original, in
two copies while it is decoded: it does not grow with the number of photographs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

import dermedge
from dermedge import image
from dermedge.contract import FORMAT, Input
from dermedge.errors import ImageError, InputError, some
from dermedge.model import cores
from dermedge.prepare import express, view
from dermedge.progress import Progress, silent
from dermedge.quality import Figures, measure
from dermedge.table import Row, Table
from dermtrain import lock, shards
from dermtrain.parallel import mapped
from dermtrain.shards import Shard, Shards
from dermtrain.store import Store

_Photograph = tuple[npt.NDArray[np.uint8], Figures]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Prepared photographs of a table, in its order.

    Attributes:
        table: Where they come from.
        values: uint8 (rows, height, width, 3), RGB; on disk, read as needed.
        figures: What the quality gate measured on each.
        key: Changes when a photograph, the order or the preparation changes.
    """

    table: Table
    values: Shards | npt.NDArray[np.uint8]
    figures: tuple[Figures, ...]
    key: str

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Numbers of the rows of one split, int64."""
        return np.flatnonzero([row.split == split for row in self.table.rows])


@dataclass(frozen=True, slots=True)
class _Part:
    """A shard as it is to be: its file, its key, and what goes into it."""

    path: Path
    key: str
    rows: tuple[Row, ...]
    shape: tuple[int, ...]


def prepare_table(table: Table, spec: Input, cache: Path, progress: Progress = silent) -> Pixels:
    """Read and prepare every photograph once; a second call finds them in the cache folder.

    What is found there is checked, every byte, and made anew where it is damaged.

    Raises:
        InputError: Photographs that can't be read, with their names; the others are kept. Or a
            contract whose model wants other numbers than pixels.
        StorageError: The cache does not fit on the disk.
    """
    plan = _plan(table, spec, cache)
    found = _find(plan, progress)
    if len(found) < len(plan):
        with lock.alone(cache, progress, "pixels-*"):
            # Another process may have made them while this one waited.
            found |= _find(_without(plan, found), silent)
            found |= _make(_without(plan, found), table, spec, progress)
    parts = [found[part.key] for part in plan]
    key = hashlib.sha256(" ".join(part.key for part in plan).encode()).hexdigest()[:16]
    return Pixels(table, Shards(parts), tuple(f for part in parts for f in part.figures), key)


def prepared(table: Table, spec: Input, store: Store, progress: Progress = silent) -> Pixels:
    """`prepare_table` into an entry of a store that all tables of one folder share.

    Raises:
        InputError, StorageError: See `prepare_table` and `Store`.
    """
    name = hashlib.sha256(f"{table.root.resolve()} {spec!r}".encode()).hexdigest()[:16]
    cache = store.entry(f"pixels-{name}")
    store.reserve(missing_bytes(table, spec, cache))
    return prepare_table(table, spec, cache, progress)


def missing_bytes(table: Table, spec: Input, cache: Path) -> int:
    """What `prepare_table` would still write to the cache folder, bytes, nothing checked."""
    plan = _plan(table, spec, cache)
    return sum(int(np.prod(part.shape)) for part in plan if not shards.present(part.path))


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


def _plan(table: Table, spec: Input, cache: Path) -> list[_Part]:
    if spec.scale != 1.0 or spec.offset != 0.0:
        raise InputError("only models that take pixels as they are (scale 1, offset 0) are trained")
    # Another version may prepare otherwise, another contract mean other figures, another OpenCV
    # decode otherwise; and with a cache that several tables share, files of one name, size and time
    # may lie in two folders.
    versions = f"{dermedge.__version__} {FORMAT} {cv2.__version__}"
    common = f"{spec!r} {versions} {table.root.resolve()}\n"
    size = shards.rows(spec.height, spec.width)
    plan = []
    for start in range(0, len(table.rows), size):
        rows = table.rows[start : start + size]
        digest = hashlib.sha256(common.encode())
        for row in rows:
            digest.update(f"{row.image} {_stamp(table.path(row))}\n".encode())
        key = digest.hexdigest()[:16]
        shape = (len(rows), spec.height, spec.width, 3)
        plan.append(_Part(cache / f"pixels-{key}.npy", key, rows, shape))
    return plan


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "absent"  # named when it is read
    return f"{found.st_size} {found.st_mtime_ns}"


def _without(plan: Sequence[_Part], found: Mapping[str, Shard]) -> list[_Part]:
    return [part for part in plan if part.key not in found]


def _find(parts: Sequence[_Part], progress: Progress) -> dict[str, Shard]:
    there, found = [part for part in parts if shards.present(part.path)], {}
    checked = mapped(lambda part: shards.find(part.path, part.shape), there, cores())
    for done, (part, shard) in enumerate(zip(there, checked, strict=True), 1):
        if shard is not None:
            found[part.key] = shard
        progress("checksums", done, len(there))
    return found


def _make(
    parts: Sequence[_Part], table: Table, spec: Input, progress: Progress
) -> dict[str, Shard]:
    def load(row: Row) -> _Photograph | str:
        try:
            photograph = image.read(table.path(row))
        except ImageError as error:
            return str(error)
        seen = view(photograph, spec)
        pixels = express(seen.pixels, spec)[0].astype(np.uint8, copy=False)
        return pixels, measure(photograph, seen)

    rows = [row for part in parts for row in part.rows]
    total, made, failures = len(table.rows), {}, []
    # A whole shard ahead, so that no thread idles while the last one is written and synced.
    ahead = shards.rows(spec.height, spec.width)
    with closing(mapped(load, rows, cores(), ahead)) as loaded:
        numbered = enumerate(loaded, total - len(rows) + 1)
        for part in parts:
            ready: list[_Photograph] = []
            for done, item in islice(numbered, len(part.rows)):
                if isinstance(item, str):
                    failures.append(item)
                else:
                    ready.append(item)
                progress("photographs", done, total)
            if len(ready) == len(part.rows):
                made[part.key] = shards.write(part.path, ready)
    if failures:
        raise InputError(f"{len(failures)} photographs: {some(failures, ';')}")
    return made
