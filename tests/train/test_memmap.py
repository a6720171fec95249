"""Arrays in files: what they hold, and a disk that is full."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dermedge import atomic
from dermedge.errors import StorageError
from dermtrain import memmap


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    values = memmap.create(tmp_path / "a.npy", np.float16, (3, 2))
    assert not values.any()
    values[1] = (1, 2)
    values.flush()
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, [[0, 0], [1, 2], [0, 0]])


def test_a_disk_without_room_is_told_before_anything_is_written(
    mounted: Callable[[int], Path],
) -> None:
    """Written without asking, the first page too many would kill the process (SIGBUS)."""
    disk = mounted(1024)
    with pytest.raises(StorageError, match="No space left"), atomic.whole(disk / "a.npy") as path:
        memmap.create(path, np.float32, (1024, 1024))
    assert not list(disk.iterdir())
