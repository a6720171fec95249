"""`kit train`, from the labelled table to the finished run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from dermedge import __version__, atomic, quality
from dermedge import contract as contracts
from dermedge import table as tables
from dermedge.contract import Contract
from dermedge.decide import reported_probability
from dermedge.errors import InputError
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain import checkpoint, curves, devices, run, unfreezing, weights
from dermtrain import recipe as recipes
from dermtrain.calibrate import freeze
from dermtrain.dataset import Pixels, prepared, targets
from dermtrain.features import predict
from dermtrain.fit import Material, finished, fit, start
from dermtrain.history import History
from dermtrain.recipe import Recipe, to_toml
from dermtrain.split import Split, split
from dermtrain.store import Store
from dermtrain.truth import Truth

Note = Callable[[str], None]
NO_POSITIVE = ("none",)
JUDGED = ("val", "test")  # splits whose photographs get a prediction


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be trained, on what, to where.

    Attributes:
        data: Labelled photographs, see `dermedge.table.read`.
        out: The run folder.
        recipe: How to train.
        weights: `imagenet`, `none` or a file.
        positive: Names of the classes that count as positive.
        size: Side of the model's input, pixels.
        seed: Of split, start and order.
        images: Folder of the photographs, if not beside the table.
        resplit: Whether to ignore the table's split column.
        precision: See `devices.find`.
        how_split: How the split came about, once it has been drawn.
    """

    data: Path
    out: Path
    recipe: Recipe
    weights: str
    positive: tuple[str, ...]
    size: int
    seed: int
    images: Path | None = None
    resplit: bool = False
    precision: str = "auto"
    how_split: str = ""


def train(
    job: Job, store: Store, history: History, note: Note, progress: Progress = silent
) -> run.Run | None:
    """Train, calibrate and write the run folder; a job that has been split goes on where it was.

    On several machines every one of them calls this, and the first one writes.

    Args:
        job: What to train: a new one, or one that `resume` found.
        store: Where prepared photographs and features are kept.
        history: Takes the steps; its listeners may print them.
        note: Told, in one line each, what was found and decided.
        progress: Told how far each stage is.

    Returns:
        The finished run; None on machines other than the first.

    Raises:
        KitError: Data, weights or recipe can't be used; see the modules that read them.
    """
    found = devices.find(job.precision)
    if not job.how_split and found.chief:
        run.claim(job.out)
    table = tables.read(job.out if job.how_split else job.data, job.images)
    labels = _labels(table, job.positive)
    fitted = start(len(labels), job.weights, job.recipe, found, job.seed)
    note(f"weights {fitted.weights}")
    note(f"devices: {found}")
    if early := unfreezing.warning(job.recipe, unfreezing.random_stages(fitted.weights)):
        note(f"warning: {early}")
    parted = _split(job, table, progress)
    note(f"split: {parted.how}; {_counts(parted.table)}")
    if found.chief:
        _claim(replace(job, how_split=parted.how), parted.table)
        history.listen(lambda _: atomic.write_text(job.out / run.HISTORY, history.to_csv()))

    spec = contracts.Input(job.size, job.size)
    pixels = prepared(parted.table, spec, store, progress)
    truth = _truth(parted.table, labels)
    material = Material(pixels, truth, store)
    saved = job.out / checkpoint.FILE
    with devices.together(found, job.out):
        fit(
            fitted,
            material,
            job.recipe,
            job.seed,
            history,
            saved=saved,
            resume=bool(job.how_split),
            note=note,
            progress=progress,
        )
        model = finished(fitted, job.size)
    if not found.chief:
        return None
    judged = np.flatnonzero([row.split in JUDGED for row in parted.table.rows])
    logits = np.full((len(parted.table.rows), len(labels)), np.nan, np.float32)
    logits[judged] = predict(model, pixels.values, judged, progress)
    weights.save(model, job.out / run.WEIGHTS)
    terms = _contract(job, parted, labels, fitted.weights, pixels, logits, spec)
    _write_results(job.out, terms, parted.table, truth, logits, history)
    for path in (saved, job.out / run.JOB):
        path.unlink(missing_ok=True)
    return run.open_run(job.out)


def resume(folder: Path, images: Path | None = None) -> Job:
    """The job of an interrupted run.

    Args:
        folder: The run.
        images: Folder of the photographs, if they have moved.

    Raises:
        InputError: The run is finished, or no run was begun there.
    """
    if (folder / run.CONTRACT).exists():
        raise InputError(f"{folder} is finished: there is nothing to resume")
    try:
        values = json.loads((folder / run.JOB).read_text(encoding="utf-8"))
        job = Job(
            **{name: values[name] for name in ("weights", "size", "seed", "precision")},
            data=Path(values["data"]),
            out=folder,
            recipe=recipes.load(Recipe, str(folder / run.RECIPE), Path(__file__).parent),
            positive=tuple(values["positive"]),
            images=images,
            how_split=values["how_split"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} is no interrupted run ({error}); `kit train DATA --out {folder}` begins one"
        ) from error
    return job


def _split(job: Job, table: Table, progress: Progress) -> Split:
    if job.how_split:
        return Split(table, job.how_split)
    return split(table, job.recipe.val, job.recipe.test, job.seed, job.resplit, progress)


def _claim(job: Job, table: Table) -> None:
    """Write down what `resume` needs; the job last."""
    if (job.out / run.JOB).exists():
        return
    atomic.write_text(job.out / run.RECIPE, to_toml(job.recipe))
    with atomic.whole(job.out / tables.RUN_TABLE) as temporary:
        tables.write(table.rows, temporary)
    atomic.write_text(job.out / tables.RUN_IMAGES, f"{table.root.resolve()}\n")
    kept = ("weights", "positive", "size", "seed", "precision", "how_split")
    values = {"data": str(job.data.resolve()), **{name: getattr(job, name) for name in kept}}
    if Path(job.weights).is_file():
        values["weights"] = str(Path(job.weights).resolve())
    atomic.write_text(job.out / run.JOB, json.dumps(values, indent=2) + "\n")


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
    frozen = freeze(
        {name: logits[rows[name]] for name in JUDGED},
        {name: truth.of(rows[name]) for name in JUDGED},
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
    text = run.predictions_csv(table, logits, terms, JUDGED)
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


def _counts(table: Table) -> str:
    parts = []
    for name in tables.SPLITS:
        part = table.part(name)
        each = [f"{sum(r.label == c for r in part.rows)} {c}" for c in table.classes]
        parts.append(f"{name} {len(part.rows)} ({', '.join(each)})")
    return ", ".join(parts)
