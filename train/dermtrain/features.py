"""Activations at the freeze boundary, computed once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge import atomic
from dermedge.progress import Progress, silent
from dermtrain import backbone
from dermtrain.dataset import Pixels

BATCH = 32
_HALF = np.finfo(np.float16).min, np.finfo(np.float16).max


@dataclass(frozen=True, slots=True)
class Features:
    """What lies at the freeze boundary for each view of each photograph.

    Views: 0 as it is, 1 mirrored, 2 upside down, 3 both.

    Attributes:
        values: float16 (views, rows, height, width, channels); or, at the boundary `pixels`, the
            uint8 pixels (rows, height, width, 3), mirrored as they are read.
        views: Number of views.
    """

    values: npt.NDArray
    views: int

    def take(self, rows: npt.NDArray[np.int64], view: int) -> npt.NDArray[np.float32]:
        """One view of some rows, float32 (rows, height, width, channels)."""
        if self.values.dtype == np.uint8:
            return mirror(self.values[rows], view).astype(np.float32)
        return self.values[view][rows].astype(np.float32)

    def batches(self, rows: npt.NDArray[np.int64], view: int) -> Iterator[npt.NDArray[np.float32]]:
        """One view of some rows in order, at most BATCH at a time."""
        for start in range(0, len(rows), BATCH):
            yield self.take(rows[start : start + BATCH], view)


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """The nearest float16; what is too great for it becomes its greatest instead of infinite."""
    return np.clip(values, *_HALF).astype(np.float16)


def mirror(batch: npt.NDArray, view: int) -> npt.NDArray:
    """View number `view` of a batch (rows, height, width, channels)."""
    batch = batch[:, :, ::-1] if view & 1 else batch
    return batch[:, ::-1] if view & 2 else batch


def extract(
    model: keras.Model,
    boundary: str,
    pixels: Pixels,
    views: int,
    cache: Path,
    progress: Progress = silent,
) -> Features:
    """Run the frozen part of the net over every view of every photograph, once.

    A second call with the same weights, photographs and views finds the result in the cache folder.

    Raises:
        StorageError: The cache does not fit on the disk.
    """
    if boundary == backbone.PIXELS:
        return Features(pixels.values, views)
    frozen = backbone.below(model, boundary)
    path = cache / f"{boundary}-{_key(frozen, pixels, views)}.npy"
    if not path.is_file():
        run = tf.function(lambda x: frozen(x, training=False))
        rows = len(pixels.values)
        shape = (views, rows, *frozen.output_shape[1:])
        with atomic.whole(path) as temporary:
            values = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            for view in range(views):
                for start in range(0, rows, BATCH):
                    batch = mirror(pixels.values[start : start + BATCH], view)
                    values[view, start : start + BATCH] = half(
                        run(tf.cast(batch, tf.float32)).numpy()
                    )
                    progress(
                        f"features at {boundary}", view * rows + start + len(batch), views * rows
                    )
            values.flush()
    return Features(np.load(path, mmap_mode="r"), views)


def predict(
    tail: keras.Model, features: Features, rows: npt.NDArray[np.int64], view: int = 0
) -> npt.NDArray[np.float32]:
    """Outputs of the part above the boundary for one view, float32 (rows, ...)."""
    run = tf.function(lambda x: tail(x, training=False), reduce_retracing=True)
    return np.concatenate([run(tf.constant(x)).numpy() for x in features.batches(rows, view)])


def _key(frozen: keras.Model, pixels: Pixels, views: int) -> str:
    digest = hashlib.sha256(f"{pixels.key} {views}".encode())
    for weight in frozen.weights:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()[:16]
