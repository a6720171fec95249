"""A training run on labelled photographs -> predictions, as a bundle would give them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from dermedge import table as tables
from dermedge.decide import positive_probability
from dermedge.predictions import Predictions
from dermedge.progress import Progress, silent
from dermtrain import run as runs
from dermtrain.dataset import prepare_table, targets
from dermtrain.features import Features, predict


def predict_run(
    folder: Path,
    data: Path | None,
    split: str,
    images: Path | None,
    progress: Progress = silent,
) -> Predictions:
    """Predict with the Keras model of a run (entry point dermkit.readers).

    Args:
        folder: The run.
        data: Labelled photographs; the run's own, with its own split, by default.
        split: Which rows; see `Table.part_or_all`.
        images: Folder of the photographs, if not beside the table.
        progress: Told of the photographs read.

    Raises:
        KitError: The run, the table or a photograph can't be used.
    """
    run = runs.open_run(folder)
    table = (run.table(None, images) if data is None else tables.read(data, images)).part_or_all(
        split
    )
    targets(table, tuple(label.name for label in run.contract.labels))  # before the long work
    with tempfile.TemporaryDirectory() as cache:
        pixels = prepare_table(table, run.contract.input, Path(cache), progress)
        logits = predict(run.model(), Features(pixels.values, 1), np.arange(len(table.rows)))
    terms = run.contract
    probability = positive_probability(logits, terms.calibration.temperature, terms.positive)
    return Predictions(terms, table, probability)
