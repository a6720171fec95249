"""A run or a bundle as one function of prepared pixels, and its predictions on a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermedge import bundle, decide, image, novelty, quality
from dermedge import predictions as proof
from dermedge.contract import Contract
from dermedge.decide import probabilities, reported
from dermedge.errors import ImageError, InputError
from dermedge.model import Classifier, cores
from dermedge.predictions import Predictions
from dermedge.prepare import prepare, view
from dermedge.progress import Progress, silent
from dermedge.quiet import quiet
from dermedge.table import Row, Table

BATCH = 32
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model says of some photographs.

    Attributes:
        logits: float32 (n, classes).
        unlike: How unlike the training photographs each is, 1 at the contract's threshold; None
            if the model can't tell.
    """

    logits: npt.NDArray[np.float32]
    unlike: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that is ready to judge.

    Attributes:
        path: The run folder or the bundle.
        kind: `run` or `bundle`.
        contract: Its contract.
        look: The model: prepared photographs, uint8 (n, height, width, 3), RGB -> `Seen`.
        model_bytes: Size of the model file.
    """

    path: Path
    kind: str
    contract: Contract
    look: Callable[[Pixels], Seen]
    model_bytes: int


def of_run(folder: Path) -> Judge:
    """Open a finished training run.

    Raises:
        BundleError: Not a run, or its weights are not those that its contract names.
    """
    with quiet():  # TensorFlow looks for CUDA aloud, when imported and when first asked
        import tensorflow as tf

        tf.config.list_physical_devices()
    from dermtrain import run as runs

    run = runs.open_run(folder)
    model = run.model()
    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def look(pixels: Pixels) -> Seen:
        logits = call(tf.constant(pixels.astype(np.float32))).numpy()
        return Seen(logits, (None,) * len(pixels))

    size = (folder / run.contract.model.file).stat().st_size
    return Judge(folder, "run", run.contract, look, size)


def of_bundle(path: Path, threads: int | None = None) -> Judge:
    """Open a bundle.

    Raises:
        BundleError: Broken, or not of this format.
    """
    opened = bundle.open_bundle(path)
    terms = opened.contract
    classifier, watch = Classifier(opened.model, terms, threads), novelty.of(opened)

    def look(pixels: Pixels) -> Seen:
        each = [classifier.run(prepare(one, terms.input)) for one in pixels]
        unlike = (novelty.judge(watch, outputs.embedding) for outputs in each)
        return Seen(np.stack([outputs.scores for outputs in each]), tuple(unlike))

    return Judge(path, "bundle", terms, look, len(opened.model))


def predict(judge: Judge, table: Table, views: int = 1, progress: Progress = silent) -> Predictions:
    """Judge every photograph of a table, in its order.

    Args:
        judge: The model.
        table: Labelled photographs.
        views: How many mirrored views the logits are the mean of: as it is, mirrored, upside down,
            both.
        progress: Told of the photographs judged.

    Raises:
        TableError: A label that the model does not know.
        InputError: One class only, or photographs that can't be read.
    """
    terms = judge.contract
    proof.check(table, terms)
    logits, verdicts = [], []
    for pixels, qualities in batches(judge, table, progress):
        seen = over_views(judge, pixels, views)
        logits.append(seen.logits)
        verdicts += _with_novelty(qualities, seen)
    scores = np.concatenate(logits)
    each = probabilities(scores, terms.calibration.temperature)
    pairs = zip(each, verdicts, strict=True)
    return Predictions(
        contract=terms,
        table=table,
        probabilities=reported(each, terms.positive),
        logits=scores,
        decisions=tuple(decide.judge(one, terms, seen == "ok").decision for one, seen in pairs),
        quality=tuple(verdicts),
    )


def _with_novelty(qualities: list[str], seen: Seen) -> list[str]:
    """What the quality gate says, and of the unlike that they are."""
    found = []
    for said, ratio in zip(qualities, seen.unlike, strict=True):
        known = () if said == "ok" else (said,)
        found.append("; ".join((*known, *novelty.problems(ratio))) or "ok")
    return found


def over_views(judge: Judge, pixels: Pixels, views: int) -> Seen:
    """Mean logits over so many views; how unlike it is tells the photograph as it came."""
    first = judge.look(pixels)
    if views == 1:
        return first
    from dermtrain.features import mirror

    turned = (np.ascontiguousarray(mirror(pixels, each)) for each in range(1, views))
    logits = [first.logits, *(judge.look(each).logits for each in turned)]
    return Seen(np.mean(logits, axis=0), first.unlike)


def batches(
    judge: Judge, table: Table, progress: Progress = silent
) -> Iterator[tuple[Pixels, list[str]]]:
    """Prepared photographs as RGB pixels, and what the quality gate says of each.

    Raises:
        InputError: Photographs that can't be read, after all have been tried.
    """
    terms = judge.contract

    def load(row: Row) -> tuple[Pixels, str] | str:
        try:
            photograph = image.read(table.path(row))
        except ImageError as error:
            return str(error)
        seen = view(photograph, terms.input)
        return seen.pixels, quality.judge(photograph, seen, terms.quality).verdict

    broken: list[str] = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(table.rows), BATCH):
            loaded = list(pool.map(load, table.rows[start : start + BATCH]))
            broken += [item for item in loaded if isinstance(item, str)]
            whole = [item for item in loaded if not isinstance(item, str)]
            if not broken:  # else only the names of the others that are broken are still of use
                yield np.stack([pixels for pixels, _ in whole]), [seen for _, seen in whole]
            progress("judging photographs", start + len(loaded), len(table.rows))
    if broken:
        raise InputError(proof.unreadable(table, broken))
