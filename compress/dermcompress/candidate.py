"""A rung's model -> a bundle with thresholds of its own, found in the runtime that will run it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermcompress import card, convert, metadata
from dermcompress.recipe import FLOAT, FULL, Rung
from dermcompress.workshop import Built, Workshop
from dermedge import bundle, golden
from dermedge.contract import FAILED_GATE, NOTICE, Contract
from dermedge.model import Classifier, runtimes
from dermtrain.calibrate import freeze
from dermtrain.dataset import Pixels

_SPLITS = ("val", "test")


def pack(path: Path, rung: Rung, built: Built, workshop: Workshop) -> Contract:
    """Write a rung's bundle.

    Temperature and thresholds are the small model's own, from its scores on validation. Before
    that, every installed runtime runs the file once.

    Raises:
        BundleError: A runtime can't run it.
    """
    terms = dataclasses.replace(
        workshop.source.contract,
        input=workshop.input(built.side),
        outputs=convert.outputs(workshop.whole),
    )
    pixels = workshop.at(built.side)
    for runtime in runtimes():
        Classifier(built.model, terms, runtime=runtime).scores(pixels.values[:1])
    # The full model's were frozen when it was trained; they stand in its own contract.
    if (rung.net, rung.export, rung.distil, rung.sparsity) != (FULL, FLOAT, 0, 0.0):
        terms = _calibrated(terms, rung, built, workshop, pixels)
    title = f"{rung.name}: {rung}, {rung.export}"
    model = metadata.with_metadata(built.model, terms, title)
    vectors = golden.take(Classifier(model, terms), terms).to_json()
    return bundle.pack(path, terms, model, card.write(terms, title), vectors)


def mark(path: Path, reasons: tuple[str, ...]) -> None:
    """Write a bundle that failed the gate anew, so that it says so wherever it is used."""
    found = bundle.open_bundle(path)
    said = f"{FAILED_GATE}: {'; '.join(reasons)}. {NOTICE}"
    terms = dataclasses.replace(found.contract, notice=said)
    card_too = f"**{said}**\n\n{found.card}"
    bundle.pack(path, terms, found.model, card_too, found.golden)


def _calibrated(
    terms: Contract, rung: Rung, built: Built, workshop: Workshop, pixels: Pixels
) -> Contract:
    rows = {name: pixels.rows(name) for name in _SPLITS}
    classifier = Classifier(built.model, terms)
    logits = {name: _scores(classifier, pixels, rows[name], workshop) for name in _SPLITS}
    truth = {name: workshop.truth.of(rows[name]) for name in _SPLITS}
    frozen = freeze(logits, truth, workshop.seed)
    origin = terms.provenance
    return dataclasses.replace(
        terms,
        calibration=frozen.calibration,
        decision=frozen.decision,
        provenance=dataclasses.replace(
            origin,
            recipe=f"{origin.recipe}, compressed by {workshop.recipe.name}: {rung.name}",
            metrics={**frozen.metrics, "made": built.made},
        ),
    )


def _scores(
    classifier: Classifier, pixels: Pixels, rows: npt.NDArray[np.int64], workshop: Workshop
) -> npt.NDArray[np.float32]:
    """Logits of some photographs in the device's runtime, float32 (rows, classes)."""
    found = []
    for done, row in enumerate(rows, 1):
        found.append(classifier.scores(pixels.values[np.array([row])]))
        workshop.progress("scoring", done, len(rows))
    return np.stack(found)
