"""Activations at the freeze boundary: computed once for each view of a photograph, and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge import atomic
from dermedge.progress import Progress, silent
from dermtrain import backbone, memmap
from dermtrain.store import Store
from dermtrain.views import Views

BATCH = 32
_HALF = np.finfo(np.float16).min, np.finfo(np.float16).max
_FILE = "features.npy"


class Source(Protocol):
    """Whatever gives (len(rows), height, width, channels) for the numbers of rows of a table.

    Prepared pixels, a view of them, or features at a boundary.
    """

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[Any]:
        """The values of these rows, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Cached:
    """One view's features of some rows.

    Attributes:
        rows: Their numbers in the table, rising, int64 (n,).
        values: float16 (n, height, width, channels), on disk.
    """

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float16]

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """The features of these rows, in their order."""
        return self.values[np.searchsorted(self.rows, rows)]


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """The nearest float16; what is too great for it becomes its greatest instead of infinite."""
    return np.clip(values, *_HALF).astype(np.float16)


def mirror(batch: npt.NDArray, view: int) -> npt.NDArray:
    """A batch (rows, height, width, channels) as it is (0), mirrored (1), upside down (2), both."""
    batch = batch[:, :, ::-1] if view & 1 else batch
    return batch[:, ::-1] if view & 2 else batch


def extract(
    model: keras.Model,
    boundary: str,
    views: Views,
    view: int,
    rows: npt.NDArray[np.int64],
    store: Store,
    progress: Progress = silent,
) -> Source:
    """Run the frozen part of the net over one view of some photographs, once.

    A second call with the same weights below the boundary, photographs, preparation, augmentation
    and view finds the result in the store.

    Args:
        model: The net.
        boundary: Name of the layer where it is cut; at `pixels` there is nothing to compute.
        views: The photographs, and how their views are drawn.
        view: Which one.
        rows: Numbers of the photographs, rising.
        store: Where the features are kept, and how many bytes they may take.
        progress: Told of the photographs done.

    Raises:
        StorageError: They do not fit.
    """
    if boundary == backbone.PIXELS:
        return views.of(view)
    frozen = backbone.below(model, boundary)
    path = store.entry(f"features-{_key(frozen, boundary, views.key(view), rows)}") / _FILE
    if not path.is_file():
        side = views.side(view)
        shape = (len(rows), *frozen.compute_output_shape((1, side, side, 3))[1:])
        store.reserve(int(np.prod(shape)) * np.dtype(np.float16).itemsize)
        run = tf.function(lambda x: frozen(x, training=False), reduce_retracing=True)
        stage = f"features at {boundary}, view {view}"
        with atomic.whole(path) as temporary:
            values = memmap.create(temporary, np.float16, shape)
            done = 0
            for batch in batches(views.of(view), rows):
                values[done : done + len(batch)] = half(run(tf.constant(batch)).numpy())
                done += len(batch)
                progress(stage, done, len(rows))
            values.flush()
    return Cached(rows, np.load(path, mmap_mode="r"))


def predict(
    model: keras.Model,
    source: Source,
    rows: npt.NDArray[np.int64],
    progress: Progress = silent,
) -> npt.NDArray[np.float32]:
    """Outputs of a model, or of its part above a boundary, for some rows, float32 (rows, ...)."""
    run = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    outputs, done = [], 0
    for batch in batches(source, rows):
        outputs.append(run(tf.constant(batch)).numpy())
        done += len(batch)
        progress("scoring", done, len(rows))
    return np.concatenate(outputs).astype(np.float32, copy=False)


def batches(source: Source, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    """Some rows in order, float32, at most BATCH at a time."""
    for start in range(0, len(rows), BATCH):
        yield source[rows[start : start + BATCH]].astype(np.float32)


def _key(frozen: keras.Model, boundary: str, views: str, rows: npt.NDArray[np.int64]) -> str:
    digest = hashlib.sha256(f"{boundary} {views} ".encode() + rows.tobytes())
    digest.update(str(keras.mixed_precision.global_policy().name).encode())
    for weight in frozen.weights:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()[:16]
