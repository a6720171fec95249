"""The run folder of `kit train`: weights, contract, recipe, split, history, predictions."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge import contract as contracts
from dermedge import table as tables
from dermedge.contract import Contract
from dermedge.decide import judge, probabilities
from dermedge.errors import BundleError, InputError
from dermedge.table import Table
from dermtrain import backbone, recipe, weights

CONTRACT, WEIGHTS, RECIPE = "contract.json", "weights.npz", "recipe.toml"
HISTORY, PREDICTIONS, CURVES, CACHE = "history.csv", "predictions.csv", "curves.png", "cache"
JOB = "job.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, opened."""

    folder: Path
    contract: Contract
    recipe: recipe.Recipe

    def model(self) -> keras.Model:
        """The full model with its trained weights.

        Raises:
            BundleError: The weights are not those that the contract names, or do not fit.
        """
        path = self.folder / WEIGHTS
        if not path.is_file() or sha256(path) != self.contract.model.sha256:
            raise BundleError(
                f"{path} is absent or not the file that {CONTRACT} names; train again"
            )
        model = backbone.build(self.contract.input.height, len(self.contract.labels))
        filled = weights.fill(model, str(path))
        if filled.random:
            raise BundleError(f"{path} lacks {', '.join(filled.random[:3])}; train again")
        return model

    def table(self, data: Path | None = None, images: Path | None = None) -> Table:
        """The run's own photographs and split, or other ones.

        Args:
            data: Another table. Photographs that the run knows keep the run's split, so that none
                of its test is learnt from; the others keep their own, or are for training.
            images: Folder of the photographs, if they have moved.
        """
        if data is None:
            return tables.read(self.folder, images)
        known = {row.image: row.split for row in tables.read_rows(self.folder / tables.RUN_TABLE)}
        table = tables.read(data, images)
        own = (row.split if row.split in tables.SPLITS else "train" for row in table.rows)
        rows = tuple(
            replace(row, split=known.get(row.image, other))
            for row, other in zip(table.rows, own, strict=True)
        )
        return replace(table, rows=rows)


def open_run(folder: Path) -> Run:
    """Open a finished run.

    Raises:
        BundleError: Not a run folder, or its training never finished.
    """
    if not (folder / CONTRACT).is_file():
        raise BundleError(f"{folder} is not a finished run (no {CONTRACT}); `kit train` makes one")
    terms = contracts.load(folder / CONTRACT)
    used = recipe.load(recipe.Recipe, str(folder / RECIPE), Path(__file__).parent)
    return Run(folder, terms, used)


def claim(folder: Path) -> None:
    """Make sure that a new run may be written here.

    Raises:
        InputError: The folder holds something else, a finished run, or an interrupted one.
    """
    if (folder / CONTRACT).exists():
        raise InputError(f"{folder} holds a finished run: choose another --out, or remove it")
    if (folder / JOB).exists():
        raise InputError(
            f"{folder} holds an interrupted run: `kit train --resume {folder}` goes on with it; "
            "for a new one choose another --out, or remove it"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and no run: choose another --out")


def predictions_csv(
    table: Table, logits: npt.NDArray[np.floating], terms: Contract, splits: Sequence[str]
) -> str:
    """Text of predictions.csv: one line for each photograph of these splits."""
    calibrated = probabilities(logits, terms.calibration.temperature)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [f"logit_{label.name}" for label in terms.labels]
    writer.writerow(["image", "split", "label", "probability", "decision", *names])
    for row, each, scores in zip(table.rows, calibrated, logits, strict=True):
        if row.split in splits:
            said = judge(each, terms)
            start = [row.image, row.split, row.label, f"{said.probability:.6f}", said.decision]
            writer.writerow([*start, *(f"{score:.6f}" for score in scores)])
    return stream.getvalue()


def sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
