"""A training run on labelled photographs -> predictions, and the full report of `kit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dermedge import page
from dermedge import table as tables
from dermedge.errors import InputError
from dermedge.predictions import Predictions
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.evaluation import judge, report
from dermtrain.evaluation.study import Plan, study


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
    model = judge.of_run(folder)
    return judge.predict(model, _table(folder, data, images).part_or_all(split), 1, progress)


def write_report(
    model: Path,
    data: Path | None,
    split: str,
    images: Path | None,
    out: Path,
    threads: int | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Predictions:
    """Measure a run or a bundle and write the full report (entry point dermkit.reports).

    Args:
        model: A run folder or a bundle.
        data: Labelled photographs; a run's own by default.
        split: Which rows; see `Table.part_or_all`.
        images: Folder of the photographs, if not beside the table.
        out: Folder for the report; made if absent, files of the same names are replaced.
        threads: Of a bundle's interpreter.
        progress: Told how far each stage is.
        options: Further fields of `study.Plan`.

    Returns:
        The predictions on which the report rests.

    Raises:
        KitError: Model, table, a photograph or an option can't be used, or the disk is full.
    """
    page.require_installed()
    plan = Plan(split=split, **options)
    if model.is_dir():
        opened = judge.of_run(model)
        path = model / tables.RUN_TABLE
        own = Table(path, model, tables.read_rows(path))
    elif data is None:
        raise InputError("a bundle brings no photographs: kit evaluate BUNDLE DATA")
    else:
        opened, own = judge.of_bundle(model, threads), None
    found = study(opened, _table(model, data, images).part_or_all(split), plan, own, progress)
    report.write(found, out)
    return found.predictions


def _table(folder: Path, data: Path | None, images: Path | None) -> Table:
    return tables.read(folder if data is None else data, images)
