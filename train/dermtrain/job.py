"""`kit train`, from the labelled table to the finished run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import tensorflow as tf

from dermedge import __version__, atomic, quality
from dermedge import contract as contracts
from dermedge import table as tables
from dermedge.contract import Contract
from dermedge.decide import reported_probability
from dermedge.errors import InputError
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain import curves, run, weights
from dermtrain.calibrate import freeze
from dermtrain.dataset import Pixels, prepare_table, targets
from dermtrain.features import Features, predict
from dermtrain.fit import fit, start
from dermtrain.history import History
from dermtrain.recipe import Recipe, to_toml
from dermtrain.split import Split, split
from dermtrain.truth import Truth

Note = Callable[[str], None]
NO_POSITIVE = ("none",)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be trained, on what, to where."""

    data: Path
    out: Path
    recipe: Recipe
    weights: str
    positive: tuple[str, ...]
    size: int
    seed: int
    images: Path | None = None
    resplit: bool = False


def train(job: Job, history: History, note: Note, progress: Progress = silent) -> run.Run:
    """Train, calibrate and write the run folder.

    Args:
        job: What to train.
        history: Takes the steps; its listener may print them.
        note: Told, in one line each, what was found and decided.
        progress: Told how far each stage is.

    Raises:
        KitError: Data, weights or recipe can't be used; see the modules that read them.
    """
    run.claim(job.out)
    table = tables.read(job.data, job.images)
    labels = _labels(table, job.positive)
    fitted = start(job.size, len(labels), job.weights, job.recipe.stage, job.seed)
    note(f"weights {fitted.weights}")
    note(f"frozen up to {fitted.boundary}; device: {_device()}")
    parted = split(table, job.recipe.val, job.recipe.test, job.seed, job.resplit, progress)
    table = parted.table
    note(f"split: {parted.how}; {_counts(table)}")

    atomic.write_text(job.out / run.RECIPE, to_toml(job.recipe))
    _write_split(table, job.out)
    cache = job.out / run.CACHE
    spec = contracts.Input(job.size, job.size)
    pixels = prepare_table(table, spec, cache, progress)
    truth = _truth(table, labels)
    fit(fitted, pixels, truth, job.recipe, job.seed, cache, history, progress)

    logits = predict(fitted.model, Features(pixels.values, 1), np.arange(len(table.rows)))
    weights.save(fitted.model, job.out / run.WEIGHTS)
    terms = _contract(job, parted, labels, fitted.weights, pixels, logits, spec)
    _write_results(job.out, terms, table, truth, logits, history)
    shutil.rmtree(cache)
    return run.open_run(job.out)


def _labels(table: Table, positive: Sequence[str]) -> tuple[contracts.Label, ...]:
    """The classes; `none` as the only positive name stands for a model without positive classes."""
    if taken := set(table.classes) & set(contracts.RESERVED):
        raise InputError(f"{table.source}: {', '.join(taken)} is a decision; rename this class")
    named = set(positive or ("malignant",)) if tuple(positive) != NO_POSITIVE else set()
    unknown = sorted(named - set(table.classes))
    if unknown or named == set(table.classes):
        raise InputError(
            f"which classes count as positive? {', '.join(sorted(named))} does not fit; "
            f"{table.source} has {', '.join(table.classes)}. Give --positive NAME[,NAME], or "
            "--positive none if no class does"
        )
    return tuple(contracts.Label(i, name, name in named) for i, name in enumerate(table.classes))


def _truth(table: Table, labels: Sequence[contracts.Label]) -> Truth:
    names = tuple(label.name for label in labels)
    return Truth(targets(table, names), tuple(label.id for label in labels if label.positive))


def _write_split(table: Table, folder: Path) -> None:
    with atomic.whole(folder / tables.RUN_TABLE) as temporary:
        tables.write(table.rows, temporary)
    atomic.write_text(folder / tables.RUN_IMAGES, f"{table.root.resolve()}\n")


def _contract(
    job: Job,
    parted: Split,
    labels: tuple[contracts.Label, ...],
    filled: weights.Filled,
    pixels: Pixels,
    logits: np.ndarray,
    spec: contracts.Input,
) -> Contract:
    table, truth = parted.table, _truth(parted.table, labels)
    rows = {name: pixels.rows(name) for name in tables.SPLITS}
    judged = ("val", "test")
    frozen = freeze(
        {name: logits[rows[name]] for name in judged},
        {name: truth.of(rows[name]) for name in judged},
        job.seed,
    )
    weights_file = job.out / run.WEIGHTS
    return Contract(
        model=contracts.Model(weights_file.name, run.sha256(weights_file), "keras"),
        input=spec,
        labels=labels,
        outputs=(contracts.Output("logits"),),
        calibration=frozen.calibration,
        decision=frozen.decision,
        quality=quality.limits_from([pixels.figures[i] for i in rows["train"]]),
        provenance=contracts.Provenance(
            data=_name(job.data),
            licence=table.licences,
            made_up=table.made_up,
            split=parted.how,
            weights=str(filled),
            recipe=job.recipe.name,
            seed=job.seed,
            versions=versions(),
            metrics=frozen.metrics,
        ),
    )


def _write_results(
    folder: Path, terms: Contract, table: Table, truth: Truth, logits: np.ndarray, history: History
) -> None:
    """History, predictions and pictures; the contract last, since it says that the run is whole."""
    atomic.write_text(folder / run.HISTORY, history.to_csv())
    text = run.predictions_csv(table, logits, terms, ("val", "test"))
    atomic.write_text(folder / run.PREDICTIONS, text)
    test = np.flatnonzero([row.split == "test" for row in table.rows])
    probability = reported_probability(logits[test], terms.calibration.temperature, truth.positive)
    data = f"{terms.provenance.data}{' (made-up pictures)' if terms.provenance.made_up else ''}"
    curves.draw(
        folder / run.CURVES,
        history.entries,
        truth.of(test).reported(logits[test]),
        probability,
        terms.decision.threshold,
        f"Training on {data}, recipe {terms.provenance.recipe}, seed {terms.provenance.seed}",
        naming=not terms.positive,
    )
    terms.save(folder / run.CONTRACT)


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    names = ("tensorflow", "tf_keras", "numpy", "opencv-python-headless")
    return {"dermkit": __version__, **{name: metadata.version(name) for name in names}}


def _name(data: Path) -> str:
    """Name of the data set: its folder's, whatever the CSV is called."""
    return data.resolve().parent.name if data.is_file() else data.resolve().name


def _device() -> str:
    found = tf.config.list_physical_devices("GPU")
    return f"{len(found)} GPU" if found else "CPU"


def _counts(table: Table) -> str:
    parts = []
    for name in tables.SPLITS:
        part = table.part(name)
        each = [f"{sum(r.label == c for r in part.rows)} {c}" for c in table.classes]
        parts.append(f"{name} {len(part.rows)} ({', '.join(each)})")
    return ", ".join(parts)
