"""What a rung's model gives for photographs, in the device's runtime: asked once, kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermedge import atomic
from dermedge.model import Classifier
from dermedge.progress import Progress, silent
from dermtrain.features import Source


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model gave, in the order of the photographs.

    Attributes:
        scores: Logits, float32 (rows, classes).
        embeddings: float32 (rows, d); without rows if the model gives none.
    """

    scores: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]


def score(
    classifier: Classifier,
    pixels: Source,
    rows: npt.NDArray[np.int64],
    kept: Path,
    progress: Progress = silent,
) -> Scored:
    """Run a model on photographs one by one, as a device does, or find what it gave.

    Args:
        classifier: The model in its runtime.
        pixels: Photographs as it sees them.
        rows: Numbers of those to run it on.
        kept: Where the result is kept; of this very model, runtime, and these very photographs.
        progress: Told of the photographs done.

    Raises:
        StorageError: The result can't be written.
    """
    if not kept.is_file():
        found = []
        for done, row in enumerate(rows, 1):
            found.append(classifier.run(pixels[np.array([row])]))
            progress("scoring", done, len(rows))
        scores = _stacked([each.scores for each in found])
        deep = _stacked([each.embedding for each in found if each.embedding is not None])
        with atomic.stream(kept) as file:
            np.savez(file, scores=scores, embeddings=deep)
    with np.load(kept, allow_pickle=False) as values:
        return Scored(values["scores"], values["embeddings"])


def _stacked(values: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return np.stack(values) if values else np.empty((0, 0), np.float32)
