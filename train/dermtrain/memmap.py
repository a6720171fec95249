"""Arrays too large for memory, written straight into a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt


def create(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """An array in a new .npy file, zeros, to be filled and flushed.

    All its bytes are set aside at once: a disk that is full in the middle would end the process
    without a word (SIGBUS).

    Raises:
        OSError: The disk has no room for it.
    """
    values = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, path.stat().st_size)
        finally:
            os.close(descriptor)
    return values
