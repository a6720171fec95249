"""A rung's model -> a bundle with thresholds of its own, found in the runtime that will run it.

So is what tells photographs unlike the training ones: each net, and each of its exports, has
embeddings of its own. And so are the limits of quality: they belong to a size of the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermcompress import card, convert, metadata
from dermcompress.recipe import FLOAT, FULL, Rung
from dermcompress.scored import Scored, score
from dermcompress.workshop import Built, Workshop
from dermedge import archive, bundle, golden, novelty
from dermedge.contract import FAILED_GATE, NOTICE, Contract, Model
from dermedge.errors import BundleError
from dermedge.model import Classifier, runtimes
from dermedge.quality import limits_from
from dermtrain.calibrate import freeze

_LEARNT_FROM = 2000  # training photographs that novelty is fitted on, at most


def pack(
    path: Path, rung: Rung, built: Built, workshop: Workshop, note: Callable[[str], None]
) -> Contract:
    """Write a rung's bundle.

    Temperature and thresholds are the small model's own, from its scores on validation. Before
    that, every installed runtime runs the file once. Novelty is fitted if the file gives the
    embedding and there are enough photographs.

    Args:
        path: The bundle.
        rung: Which.
        built: Its model.
        workshop: Where it was built.
        note: Told of a further runtime that can't run it.

    Raises:
        BundleError: The runtime that is used by default can't run it.
    """
    photographs = workshop.photographs
    pixels = photographs.at(built.side)
    terms = dataclasses.replace(
        workshop.source.contract,
        model=Model(f"{rung.name}.tflite", "", "tflite"),  # what errors name; `bundle.pack` knows
        input=photographs.input(built.side),
        outputs=convert.outputs(workshop.whole),
        quality=limits_from([pixels.figures[row] for row in photographs.train]),
    )
    classifier = Classifier(built.model, terms)
    classifier.scores(pixels.values[:1])
    for runtime in runtimes()[1:]:
        try:
            Classifier(built.model, terms, runtime=runtime).scores(pixels.values[:1])
        except BundleError as error:
            note(f"{rung.name}: {error}")
    sha256 = archive.sha256(built.model)

    def scored(split: str, step: int = 1) -> Scored:
        """Every photograph of a split, or every second, ..."""
        rows = photographs.rows(split)[::step]
        kept = workshop.kept(".scored", sha256, classifier.runtime, split, len(rows))
        return score(classifier, pixels.values, rows, kept, workshop.progress)

    validation = scored("val")
    # The full model's were frozen when it was trained; they stand in its own contract.
    if (rung.net, rung.export, rung.distil, rung.sparsity) != (FULL, FLOAT, 0, 0.0):
        scores = {"val": validation.scores, "test": scored("test").scores}
        terms = _calibrated(terms, rung, built, workshop, scores)
    watch = None
    if len(validation.embeddings) and len(photographs.train) >= novelty.MIN_TRAINING:
        learnt = scored("train", -(-len(photographs.train) // _LEARNT_FROM))
        watch = novelty.fit(learnt.embeddings, validation.embeddings)
    terms = dataclasses.replace(terms, novelty=watch and watch.terms)
    title = f"{rung.name}: {rung}, {rung.export}"
    model = metadata.with_metadata(built.model, terms, title)
    vectors = golden.take(Classifier(model, terms), terms).to_json()
    more = watch.subspace.to_bytes() if watch else b""
    return bundle.pack(path, terms, model, card.write(terms, title), vectors, more)


def mark(source: Path, target: Path, reasons: Sequence[str]) -> None:
    """Write a bundle that may not be shipped anew, so that it says why wherever it is used.

    Args:
        source: The bundle as it was packed.
        target: The marked one.
        reasons: Why not.
    """
    found = bundle.open_bundle(source)
    said = f"{FAILED_GATE}: {'; '.join(reasons)}. {NOTICE}"
    terms = dataclasses.replace(found.contract, notice=said)
    card_too = f"**{said}**\n\n{found.card}"
    bundle.pack(target, terms, found.model, card_too, found.golden, found.novelty)


def _calibrated(
    terms: Contract,
    rung: Rung,
    built: Built,
    workshop: Workshop,
    logits: Mapping[str, npt.NDArray[np.float32]],
) -> Contract:
    photographs = workshop.photographs
    truth = {name: photographs.truth.of(photographs.rows(name)) for name in logits}
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
