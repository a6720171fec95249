"""The training photographs that the net finds most similar to one photograph."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge import atomic, image
from dermedge.contract import Input
from dermedge.errors import InputError
from dermedge.model import cores
from dermedge.prepare import prepare
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain import backbone

BATCH = 32
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Embedding:
    """Pooled conv5 of each training photograph.

    Attributes:
        images: Names of the photographs, relative to their folder.
        labels: Their labels.
        values: float16 (photographs, channels), of length 1 each: half precision moves a distance
            by less than 1e-6, and 100,000 photographs stay within 400 MB.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    values: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training photograph and its cosine distance (0 the same direction, 1 unrelated)."""

    image: str
    label: str
    distance: float


def embedder(model: keras.Model) -> keras.Model:
    """The net up to conv5, pooled: pixels -> float32 (batch, 2048)."""
    top = model.get_layer(backbone.TOP).output
    return keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(top))


def embed(net: keras.Model, batch: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Embedding of prepared photographs, float32 (photographs, channels), of length 1 each."""
    values = net(tf.cast(batch, tf.float32), training=False).numpy()
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def of_table(
    model: keras.Model, table: Table, spec: Input, cache: Path, progress: Progress = silent
) -> Embedding:
    """Embed every photograph of a table, once; a second call finds the result in `cache`.

    Args:
        model: The full model.
        table: The photographs: a run's training split.
        spec: The contract's input section.
        cache: A file whose name changes with the weights. Made anew if it holds other photographs.
        progress: Told of the photographs embedded.

    Raises:
        ImageError: A photograph can't be read.
        StorageError: The cache can't be written.
    """
    images = tuple(row.image for row in table.rows)
    labels = tuple(row.label for row in table.rows)
    known = _load(cache, images)
    if known is None:
        net, done, blocks = embedder(model), 0, []
        for batch in _prepared(table, spec):
            blocks.append(embed(net, batch).astype(np.float16))
            done += len(batch)
            progress("similar photographs", done, len(images))
        known = np.concatenate(blocks)
        with atomic.whole(cache) as temporary:
            np.savez(temporary, images=np.array(images), values=known)
    return Embedding(images, labels, known)


def nearest(known: Embedding, query: npt.NDArray[np.floating], count: int) -> tuple[Neighbour, ...]:
    """The photographs with the smallest cosine distance to a query, nearest first.

    Args:
        known: Where to look.
        query: (channels,), of length 1.
        count: How many.
    """
    query = query.astype(np.float32)
    blocks = range(0, len(known.values), _ROWS)  # a whole float32 copy could be large
    alike = [known.values[i : i + _ROWS].astype(np.float32) @ query for i in blocks]
    distance = 1 - np.concatenate(alike)
    order = np.argsort(distance, kind="stable")[:count]
    return tuple(
        Neighbour(known.images[i], known.labels[i], max(0.0, float(distance[i]))) for i in order
    )


def _load(cache: Path, images: tuple[str, ...]) -> npt.NDArray[np.float16] | None:
    """The embedding in a file, unless it is absent, broken or of other photographs."""
    try:
        with np.load(cache, allow_pickle=False) as archive:
            values = archive["values"]
            same = tuple(archive["images"].tolist()) == images and len(values) == len(images)
            return values if same else None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _prepared(table: Table, spec: Input) -> Iterator[npt.NDArray]:
    """Photographs of a table, read and prepared, BATCH at a time."""
    if not table.rows:
        raise InputError(f"{table.source} has no training photographs")

    def load(path: Path) -> npt.NDArray:
        return prepare(image.read(path), spec)[0]

    paths = [table.path(row) for row in table.rows]
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), BATCH):
            yield np.stack(list(pool.map(load, paths[start : start + BATCH])))
