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
# Prepared photographs, uint8 (n, height, width, 3), RGB -> logits, float32 (n, classes).
Scores = Callable[[Pixels], npt.NDArray[np.float32]]
# The same -> how unlike the training photographs each is, 1 at the contract's threshold.
Unlike = Callable[[Pixels], list[float | None]]


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that is ready to judge.

    Attributes:
        path: The run folder or the bundle.
        kind: `run` or `bundle`.
        contract: Its contract.
        scores: The model.
        model_bytes: Size of the model file.
        unlike: Tells the unlike; None if the model can't.
    """

    path: Path
    kind: str
    contract: Contract
    scores: Scores
    model_bytes: int
    unlike: Unlike | None = None


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

    def scores(pixels: Pixels) -> npt.NDArray[np.float32]:
        return call(tf.constant(pixels.astype(np.float32))).numpy()

    size = (folder / run.contract.model.file).stat().st_size
    return Judge(folder, "run", run.contract, scores, size)


def of_bundle(path: Path, threads: int | None = None) -> Judge:
    """Open a bundle.

    Raises:
        BundleError: Broken, or not of this format.
    """
    opened = bundle.open_bundle(path)
    terms = opened.contract
    classifier, watch = Classifier(opened.model, terms, threads), novelty.of(opened)

    def scores(pixels: Pixels) -> npt.NDArray[np.float32]:
        return np.stack([classifier.scores(prepare(one, terms.input)) for one in pixels])

    def unlike(pixels: Pixels) -> list[float | None]:
        prepared = (prepare(one, terms.input) for one in pixels)
        return [novelty.judge(watch, classifier.run(one).embedding) for one in prepared]

    size = len(opened.model)
    return Judge(path, "bundle", terms, scores, size, None if watch is None else unlike)


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
    for pixels, seen in batches(judge, table, progress):
        logits.append(over_views(judge, pixels, views))
        verdicts += _with_novelty(judge, pixels, seen)
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


def _with_novelty(judge: Judge, pixels: Pixels, seen: list[str]) -> list[str]:
    """What the quality gate says, and of the unlike that they are."""
    if judge.unlike is None:
        return seen
    found = []
    for said, ratio in zip(seen, judge.unlike(pixels), strict=True):
        known = () if said == "ok" else (said,)
        found.append("; ".join((*known, *novelty.problems(ratio))) or "ok")
    return found


def over_views(judge: Judge, pixels: Pixels, views: int) -> npt.NDArray[np.float32]:
    """Mean logits over so many views, float32 (n, classes)."""
    if views == 1:
        return judge.scores(pixels)
    from dermtrain.features import mirror

    seen = [judge.scores(np.ascontiguousarray(mirror(pixels, each))) for each in range(views)]
    return np.mean(seen, axis=0)


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
