r"""Prepared photographs on disk: .npy files of some hundred each, checked, read row by row.

The format is NumPy's own (NEP 1): a header, then the pixels, all rows equally long, so that any
photograph is one seek and one read, and any tool opens the file. TFRecord has no random access: to
reach a row, all before it are read. ArrayRecord has it, but 0.8.6 needs Python 3.11 (the kit runs
on 3.10), brings absl-py and etils, and wraps each row once more. HDF5 can lose a whole file to a
killed writer.

Beside each `NAME.npy` lies `NAME.json`: size and SHA-256 of the file, and what the quality gate
measured on the originals. It is written last; a shard without it, or unlike it, does not count.

Rows are read, not mapped: pages of a mapped file count as the process's memory, so that one
shuffled epoch would seem to hold the whole set, and a file cut off under a map ends the process
with SIGBUS, where a read gives an error that can be named.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dermedge import atomic
from dermedge.errors import StorageError
from dermedge.quality import Figures

PHOTOGRAPHS, BYTES = 256, 72 * 2**20  # of one shard, at most: 256 of 299 x 299 x 3 are 69 MB
_CHUNK = 2**20
_Rows: TypeAlias = "int | slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]"


@dataclass(frozen=True, slots=True)
class Shard:
    """A file that has been written or checked.

    Attributes:
        path: The .npy file.
        shape: (photographs, height, width, 3).
        offset: Bytes before the first pixel.
        figures: Of each original, in order.
    """

    path: Path
    shape: tuple[int, ...]
    offset: int
    figures: tuple[Figures, ...]


def rows(height: int, width: int) -> int:
    """How many photographs of that size go into a shard."""
    return max(1, min(PHOTOGRAPHS, BYTES // (height * width * 3)))


def write(path: Path, photographs: Sequence[tuple[npt.NDArray[np.uint8], Figures]]) -> Shard:
    """Write a shard and its notes, whole or not at all.

    Args:
        path: The .npy file.
        photographs: uint8 (height, width, 3) and the figures of the original, of each.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    header = io.BytesIO()
    shape = (len(photographs), *photographs[0][0].shape)
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    digest = hashlib.sha256()
    with atomic.whole(path) as temporary, temporary.open("wb") as stream:
        for block in (header.getbuffer(), *(np.ravel(p).data for p, _ in photographs)):
            stream.write(block)
            digest.update(block)
        size = stream.tell()
    figures = tuple(figures for _, figures in photographs)
    notes = {
        "bytes": size,
        "sha256": digest.hexdigest(),
        "figures": [dataclasses.astuple(each) for each in figures],
    }
    atomic.write_text(_notes(path), json.dumps(notes))
    return Shard(path, shape, len(header.getbuffer()), figures)


def find(path: Path, shape: tuple[int, ...]) -> Shard | None:
    """Open a shard and check every byte of it.

    Args:
        path: The .npy file.
        shape: What it must hold, (photographs, height, width, 3).

    Returns:
        None if it is absent or damaged: it has to be made anew.
    """
    try:
        notes = json.loads(_notes(path).read_text(encoding="utf-8"))
        if path.stat().st_size != notes["bytes"] or _sha256(path) != notes["sha256"]:
            return None
        figures = tuple(Figures(*values) for values in notes["figures"])
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            found, by_column, kind = np.lib.format.read_array_header_1_0(stream)
            offset = stream.tell()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    right = found == shape and kind == np.uint8 and not by_column and len(figures) == shape[0]
    return Shard(path, shape, offset, figures) if right else None


def present(path: Path) -> bool:
    """Whether a shard is there, unchecked."""
    return path.is_file() and _notes(path).is_file()


class Shards:
    """Shards, one behind the other, as one array: uint8 (photographs, height, width, 3).

    An index along the first axis, as NumPy takes it (a number, a slice, an array of numbers or of
    truth values), reads these rows into a new array; nothing is kept. Threads may share it.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: Sequence[Shard]) -> None:
        """Join at least one shard; all have the same height and width."""
        counts = [part.shape[0] for part in parts]
        self.shape = (sum(counts), *parts[0].shape[1:])
        self._parts = tuple(parts)
        self._ends = np.cumsum(counts)
        self._numbers = np.arange(self.shape[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: _Rows) -> npt.NDArray[np.uint8]:
        """Read rows.

        Raises:
            IndexError: No such row, or an index along more than one axis.
            StorageError: A file has vanished or been cut off meanwhile.
        """
        if isinstance(key, tuple):
            raise IndexError("shards take one index, along the photographs; read, then index again")
        wanted = np.asarray(self._numbers[key])
        out = np.empty((*wanted.shape, *self.shape[1:]), np.uint8)
        slots, wanted = out.reshape(-1, *self.shape[1:]), wanted.ravel()
        where = np.searchsorted(self._ends, wanted, side="right")
        for number in np.unique(where):
            part, here = self._parts[number], np.flatnonzero(where == number)
            _read(part, wanted[here] - (self._ends[number] - part.shape[0]), slots, here)
        return out

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return (self[number] for number in range(len(self)))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)


def _read(
    part: Shard,
    rows: npt.NDArray[np.int64],
    slots: npt.NDArray[np.uint8],
    where: npt.NDArray[np.int64],
) -> None:
    """Row `rows[i]` of the shard goes to `slots[where[i]]`."""
    size = int(np.prod(part.shape[1:]))
    try:
        with part.path.open("rb", buffering=0) as stream:
            for row, slot in zip(rows.tolist(), where.tolist(), strict=True):
                stream.seek(part.offset + row * size)
                if stream.readinto(slots[slot].data) != size:
                    raise StorageError(f"{part.path} has been cut off; {_AGAIN}")
    except OSError as error:
        raise StorageError(f"{part.path} can't be read: {error.strerror}; {_AGAIN}") from error


_AGAIN = "run the command again: what is missing is prepared anew"


def _notes(path: Path) -> Path:
    return path.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as stream:
        if hasattr(hashlib, "file_digest"):  # Python 3.11
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := stream.read(_CHUNK):
            digest.update(block)
        return digest.hexdigest()
