"""Listeners that show a run elsewhere: TensorBoard, and MLflow."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import tensorflow as tf

from dermedge.errors import InputError, MissingError
from dermtrain.history import Entry, Listener

if TYPE_CHECKING:
    from dermtrain.job import Job

FOLDER = "tensorboard"
_FIGURES = ("loss", "val_loss", "val_auc", "learning_rate", "idle", "seconds")


@contextmanager
def boards(job: Job, tensorboard: bool, mlflow: str) -> Iterator[list[Listener]]:
    """Listeners for what was asked for, closed at the end.

    Args:
        job: Names the run and its settings.
        tensorboard: Whether to write `RUN/tensorboard`.
        mlflow: Tracking URI of MLflow, or empty.

    Raises:
        InputError: MLflow can't use its address.
        MissingError: MLflow is not installed.
    """
    with ExitStack() as stack:
        found = []
        if tensorboard:
            found.append(stack.enter_context(_tensorboard(job)))
        if mlflow:
            found.append(stack.enter_context(_mlflow(job, mlflow)))
        yield found


@contextmanager
def _tensorboard(job: Job) -> Iterator[Listener]:
    writer: tf.summary.SummaryWriter | None = None
    step = 0

    def begin() -> tf.summary.SummaryWriter:
        # Only now: the run folder has to be empty until the run has claimed it.
        writer = tf.summary.create_file_writer(str(job.out / FOLDER))
        with writer.as_default(step=0):
            tf.summary.text("recipe", repr(job.recipe))
            tf.summary.image("augmented views", _views(job), max_outputs=16)
        return writer

    def listen(entry: Entry) -> None:
        nonlocal step, writer
        board = writer = writer or begin()
        with board.as_default(step=step):
            for name, value in _numbers(entry).items():
                tf.summary.scalar(f"{entry.phase}/{name}", value)
        board.flush()
        step += 1

    yield listen
    if writer is not None:
        writer.close()


@contextmanager
def _mlflow(job: Job, uri: str) -> Iterator[Listener]:
    if find_spec("mlflow") is None:
        raise MissingError("MLflow is not installed; run: pip install 'dermkit[mlflow]'")
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("dermkit")
    except MlflowException as error:
        raise InputError(
            f"--mlflow {uri}: {error}. Name a tracking server, as http://localhost:5000; a "
            "database needs the whole of MLflow: pip install mlflow"
        ) from error
    step = 0

    def listen(entry: Entry) -> None:
        nonlocal step
        named = {f"{entry.phase}/{name}": value for name, value in _numbers(entry).items()}
        try:
            mlflow.log_metrics(named, step=step)
        except MlflowException as error:  # hours of training are worth more than a point of a curve
            warnings.warn(f"MLflow was not told of epoch {entry.epoch}: {error}", stacklevel=2)
        step += 1

    with mlflow.start_run(run_name=job.out.name):
        settings = {"recipe": job.recipe.name, "seed": job.seed, "size": job.size}
        mlflow.log_params({**settings, "data": job.data.name, "weights": str(job.weights)})
        yield listen


def _numbers(entry: Entry) -> dict[str, float]:
    values = dataclasses.asdict(entry)
    return {name: values[name] for name in _FIGURES if not math.isnan(values[name])}


def _views(job: Job) -> tf.Tensor:
    """What the net learns from: augmented views of some photographs, uint8 (n, side, side, 3)."""
    import numpy as np

    from dermedge import image, table
    from dermedge.contract import Input
    from dermedge.prepare import prepare
    from dermtrain.augment import augment

    labelled = table.read(job.out if job.how_split else job.data, job.images)
    random = np.random.default_rng(job.seed)
    some = random.choice(len(labelled.rows), min(8, len(labelled.rows)), replace=False)
    shown = []
    for row in (labelled.rows[i] for i in sorted(some)):
        pixels = prepare(image.read(labelled.path(row)), Input(job.size, job.size))[0]
        shown += [augment(pixels, job.recipe.augment, random) for _ in range(2)]
    return tf.constant(np.stack(shown))
