"""The way of one photograph: view -> quality -> scores -> decide, unless it is unlike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dermedge import image as images
from dermedge import novelty, quality
from dermedge.bundle import Bundle
from dermedge.decide import Verdict, judge, probabilities
from dermedge.errors import ImageError
from dermedge.image import RGB
from dermedge.model import Classifier, Outputs
from dermedge.prepare import express, view


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the kit says of one photograph.

    Attributes:
        verdict: refer, clear, named, uncertain or not assessable.
        decision: The same in words; for `named` the name of the class.
        probability: Calibrated, of the positive classes together; without any, of the top class.
        probabilities: Calibrated, of each class, in the order of the contract's labels.
        outputs: The model's raw scores; also its class-activation map and embedding, if it gives
            them.
        quality: May it be judged, and if not, why.
        latency_ms: From RGB pixels to verdict, reading the file not included.
        bundle: Whose model and whose rule judged.
        novelty: How unlike the training photographs it is, 1 at the contract's threshold; None if
            the model can't tell.
    """

    verdict: Verdict
    decision: str
    probability: float
    probabilities: tuple[float, ...]
    outputs: Outputs
    quality: quality.Quality
    latency_ms: float
    bundle: Bundle
    novelty: float | None = None

    def barred(self, problems: tuple[str, ...]) -> Diagnosis:
        """The same, not assessable because of further problems; itself if there are none."""
        if not problems:
            return self
        found = dataclasses.replace(self.quality, problems=(*self.quality.problems, *problems))
        verdict = Verdict.NOT_ASSESSABLE
        return dataclasses.replace(self, verdict=verdict, decision=verdict.value, quality=found)


class Diagnostician:
    """A bundle, opened and ready to judge photographs one after another.

    Attributes:
        bundle: It.
        contract: Its contract.
        classifier: Its model, built.
        watch: What tells the unlike; None if the bundle has nothing of the kind.
        note: What its user should know of it; most often empty.
    """

    note = ""

    def __init__(
        self, bundle: Bundle, threads: int | None = None, runtime: str | None = None
    ) -> None:
        """Build the bundle's classifier once; see `Classifier` for the rest and for errors."""
        self.bundle = bundle
        self.contract = bundle.contract
        self.classifier = Classifier(bundle.model, bundle.contract, threads, runtime)
        self.watch = novelty.of(bundle)

    def diagnose(self, image: RGB) -> Diagnosis:
        """Judge one photograph, uint8 (height, width, 3), RGB, upright."""
        start = time.perf_counter()
        contract = self.contract
        sight = view(image, contract.input)
        seen = quality.judge(image, sight, contract.quality)
        outputs = self.classifier.run(express(sight.pixels, contract.input))
        each = probabilities(outputs.scores, contract.calibration.temperature)
        found = judge(each, contract, seen.ok)
        unlike = novelty.judge(self.watch, outputs.embedding)
        diagnosis = Diagnosis(
            verdict=found.verdict,
            decision=found.decision,
            probability=found.probability,
            probabilities=tuple(float(p) for p in each),
            outputs=outputs,
            quality=seen,
            latency_ms=(time.perf_counter() - start) * 1000,
            bundle=self.bundle,
            novelty=unlike,
        )
        return diagnosis.barred(novelty.problems(unlike))

    def diagnose_files(
        self, paths: Iterable[Path]
    ) -> Iterator[tuple[Path, Diagnosis | ImageError]]:
        """Judge one file after another; what can't be read yields its error, and the rest go on."""
        for path in paths:
            try:
                yield path, self.diagnose(images.read(path))
            except ImageError as error:
                yield path, error
