"""What the full model says of every view of the training photographs: asked once, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dermcompress.student import Student
from dermedge import atomic
from dermedge.progress import Progress, silent
from dermtrain import memmap
from dermtrain.features import BATCH, Source, half, mirror

GRID = 4  # maps are compared on so many cells a side: sizes of teacher and student may differ
_LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class Answers:
    """The full model's answers, in the order of the rows that it was asked about; on disk.

    Attributes:
        logits: float32 (views, rows, classes).
        maps: Stage end -> float16 (views, rows, cells, cells, channels).
    """

    logits: npt.NDArray[np.float32]
    maps: Mapping[str, npt.NDArray[np.float16]]


def ask(
    teacher: Student,
    source: Source,
    rows: npt.NDArray[np.int64],
    views: int,
    folder: Path,
    progress: Progress = silent,
) -> Answers:
    """Ask the full model about every view of every photograph, or find what it said.

    Args:
        teacher: The full model.
        source: Pixels as the teacher sees them.
        rows: Numbers of the photographs.
        views: 1, 2 (mirrored) or 4.
        folder: Where the answers are kept; of these very photographs and this very model.
        progress: Told of the photographs done.

    Raises:
        StorageError: They do not fit on the disk.
    """
    shapes, files = _shapes(teacher, len(rows), views), _files(teacher, folder)
    if not kept(teacher, folder):
        with ExitStack() as stack:
            filling = [
                memmap.create(stack.enter_context(atomic.whole(path)), *shape)
                for path, shape in zip(files, shapes, strict=True)
            ]
            _fill(filling, teacher, source, rows, views, progress)
            for values in filling:
                values.flush()
    logits, *maps = (np.load(path, mmap_mode="r") for path in files)
    return Answers(logits, dict(zip(teacher.kept, maps, strict=True)))


def kept(teacher: Student, folder: Path) -> bool:
    """Whether a folder holds all the answers."""
    return all(path.is_file() for path in _files(teacher, folder))


def size(teacher: Student, rows: int, views: int) -> int:
    """What the answers take on the disk, bytes."""
    shapes = _shapes(teacher, rows, views)
    return sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in shapes)


def _files(teacher: Student, folder: Path) -> list[Path]:
    """Logits first, then each stage's maps."""
    return [folder / f"{name}.npy" for name in (_LOGITS, *teacher.kept)]


def _shapes(teacher: Student, rows: int, views: int) -> list[tuple[Any, tuple[int, ...]]]:
    """Dtype and shape of each file."""
    classes = int(teacher.net.output_shape[-1])
    grids = [(views, rows, GRID, GRID, len(ids)) for ids in teacher.kept.values()]
    return [(np.float32, (views, rows, classes)), *((np.float16, shape) for shape in grids)]


def _fill(
    kept: Sequence[npt.NDArray],
    teacher: Student,
    source: Source,
    rows: npt.NDArray[np.int64],
    views: int,
    progress: Progress,
) -> None:
    net = teacher.watched()
    run = tf.function(lambda x: split(net(x, training=False)), reduce_retracing=True)
    for view in range(views):
        for start in range(0, len(rows), BATCH):
            batch = mirror(source[rows[start : start + BATCH]], view).astype(np.float32)
            logits, maps = run(tf.constant(batch))
            end = start + len(batch)
            for values, found in zip(kept, (logits, *maps), strict=True):
                one = found.numpy()
                values[view, start:end] = one if found is logits else half(one)
            progress("asking the teacher", view * len(rows) + end, views * len(rows))


def split(outputs: list) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Of the outputs of `Student.watched`: logits, and the stages' maps as means over a grid."""
    logits, _, _, *maps = outputs
    return logits, [_cells(m) for m in maps]


def _cells(maps: tf.Tensor) -> tf.Tensor:
    """Means over the cells of a grid, (batch, cells, cells, channels)."""
    _, height, width, _ = maps.shape.as_list()
    return tf.einsum("gh,nhwc,kw->ngkc", _overlap(height), maps, _overlap(width))


def _overlap(side: Any) -> npt.NDArray[np.float32]:
    """How much of each cell each of `side` pixels fills, (cells, side); every row sums to 1."""
    pixel, cell = np.arange(side), np.arange(GRID)[:, None] * side / GRID
    end = np.minimum(pixel + 1, cell + side / GRID)
    return (np.clip(end - np.maximum(pixel, cell), 0, None) * GRID / side).astype(np.float32)
