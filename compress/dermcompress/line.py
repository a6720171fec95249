"""`kit compress`: run -> slim -> distil -> sparsify -> quantize -> calibrate -> bundles."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress import card, convert, slimnet, steps
from dermcompress.distill import Lesson, lesson, mimic
from dermcompress.fold import Conv, fold
from dermcompress.quantize import quantize_aware
from dermcompress.recipe import CompressRecipe
from dermcompress.slim import slim
from dermcompress.sparsify import sparsify
from dermedge import atomic, bundle
from dermedge.contract import Contract
from dermedge.errors import InputError
from dermedge.model import Classifier
from dermedge.progress import Progress, silent
from dermtrain import run as runs
from dermtrain import weights
from dermtrain.calibrate import freeze
from dermtrain.dataset import prepare_table, targets
from dermtrain.truth import Truth

FLOAT, SMALL, STEPS = "float.kit", "small.kit", "steps.json"


@dataclass(frozen=True, slots=True)
class Job:
    """Which run is compressed, how, and to where; on which photographs, see `Run.table`."""

    run: Path
    out: Path
    recipe: CompressRecipe
    seed: int = 0
    data: Path | None = None
    images: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The two bundles, and what each step did."""

    full: Path
    small: Path
    contract: Contract
    steps: tuple[steps.Step, ...]


def compress(job: Job, listener: steps.Listener, progress: Progress = silent) -> Result:
    """Compress a run into `small.kit`, and pack the full model as `float.kit` beside it.

    Slimming, distilling and sparsifying are kept in a cache until the end: an interrupted run goes
    on after the last finished one.

    Raises:
        KitError: No finished run, photographs that are not there or unreadable, a full disk.
    """
    return _Line(job, listener, progress).run()


class _Line:
    """The line at work: what its steps share, and what each of them did."""

    def __init__(self, job: Job, listener: steps.Listener, progress: Progress) -> None:
        self.job, self.recipe = job, job.recipe
        self.listener, self.progress = listener, progress
        source = runs.open_run(job.run)
        self.contract, self.full = source.contract, source.model()
        table = source.table(job.data, job.images)
        self.cache = job.out / runs.CACHE
        self.pixels = prepare_table(table, self.contract.input, self.cache, progress)
        names = tuple(label.name for label in self.contract.labels)
        self.truth = Truth(targets(table, names), self.contract.positive)
        if len(self.rows("train")) < self.recipe.batch:
            raise InputError(
                f"{table.source}: fewer training photographs than a batch of the recipe"
            )
        self.judge = steps.Judge(
            pixels=self.rows("val"),
            truth=self.truth.of(self.pixels.rows("val")),
            full=steps.logits_of(self.full, self.rows("val")),
        )
        self.done: list[steps.Step] = []

    def run(self) -> Result:
        """All steps in order."""
        size = self.contract.input.height
        net = self.step("full", lambda: slimnet.build(size, fold(self.full)))
        self.pack(FLOAT, convert.to_float(self.full), self.contract, "Full model, float32")
        net = self.step("slim", lambda: slimnet.build(size, self.slim(slimnet.convs_of(net))))
        lesson = self.lesson()
        net = self.step("distil", lambda: self.distil(net, lesson))
        if self.recipe.sparsity:
            net = self.step("sparsify", lambda: self.sparsify(net, lesson))
        start = time.monotonic()
        model = self.quantize(net, lesson)
        logits = self.score(model, "val")
        self.note(self.judge.step("int8", net, logits, time.monotonic() - start))
        terms = self.calibrated(logits, self.score(model, "test"))
        terms = self.pack(SMALL, model, terms, "Compressed model, int8")
        atomic.write_text(self.job.out / STEPS, steps.to_json(self.done))
        shutil.rmtree(self.cache)
        return Result(self.job.out / FLOAT, self.job.out / SMALL, terms, tuple(self.done))

    def step(self, name: str, make: Callable[[], keras.Model]) -> keras.Model:
        """Take one step, or what an interrupted run left of it, and measure the net it gives."""
        start = time.monotonic()
        kept = self.cache / f"{name}-{self.key()}.npz"
        if kept.is_file():
            arrays = weights.read(kept)
            convs = {layer: Conv(a["kernel"], a["bias"]) for layer, a in arrays.items()}
            net = slimnet.build(self.contract.input.height, convs)
        else:
            net = make()
            weights.save(net, kept)
        logits = steps.logits_of(net, self.judge.pixels)
        self.note(self.judge.step(name, net, logits, time.monotonic() - start))
        return net

    def note(self, step: steps.Step) -> None:
        """Keep what was measured, and tell it."""
        self.done.append(step)
        self.listener(step)

    def slim(self, convs: dict[str, Conv]) -> dict[str, Conv]:
        """Take channels out of the bottlenecks."""
        return slim(convs, self.some(), self.recipe.keep, self.job.seed, self.progress)

    def lesson(self) -> Lesson:
        """Ask the full model about the training photographs."""
        return lesson(self.full, self.rows("train"), self.recipe.views, self.progress)

    def distil(self, net: keras.Model, lesson: Lesson) -> keras.Model:
        """Let the full model teach the slim one."""
        self.mimic(net, lesson, self.recipe.distil_epochs, "distilling")
        return net

    def sparsify(self, net: keras.Model, lesson: Lesson) -> keras.Model:
        """Set small weights to 0, the teacher mending what it costs."""
        recipe = self.recipe
        return sparsify(
            net,
            lesson,
            recipe.sparsity,
            recipe.sparsify_epochs,
            recipe.learning_rate,
            recipe.batch,
            self.job.seed,
            self.progress,
        )

    def quantize(self, net: keras.Model, lesson: Lesson) -> bytes:
        """Train as int8 would compute, and convert."""
        aware = quantize_aware(net, self.some())
        self.mimic(aware, lesson, self.recipe.quantize_epochs, "quantizing")
        return convert.to_int8(aware)

    def mimic(self, net: keras.Model, lesson: Lesson, epochs: int, stage: str) -> None:
        """Train a net towards the teacher's answers."""
        recipe, seed = self.recipe, self.job.seed
        mimic(net, lesson, epochs, recipe.learning_rate, recipe.batch, seed, stage, self.progress)

    def score(self, model: bytes, split: str) -> npt.NDArray[np.float32]:
        """Logits of a .tflite on one split, float32 (rows, classes), in the device's runtime."""
        classifier = Classifier(model, self.contract)
        return np.stack([classifier.scores(pixels[None]) for pixels in self.rows(split)])

    def calibrated(self, val: npt.NDArray, test: npt.NDArray) -> Contract:
        """The contract with temperature, thresholds and figures of the small model itself."""
        truth = {name: self.truth.of(self.pixels.rows(name)) for name in ("val", "test")}
        frozen = freeze({"val": val, "test": test}, truth, self.job.seed)
        origin = self.contract.provenance
        steps_taken = [dataclasses.asdict(step) for step in self.done]
        provenance = dataclasses.replace(
            origin,
            recipe=f"{origin.recipe}, compressed by {self.recipe.name}",
            metrics={**frozen.metrics, "steps": steps_taken},
        )
        return dataclasses.replace(
            self.contract,
            calibration=frozen.calibration,
            decision=frozen.decision,
            provenance=provenance,
        )

    def pack(self, name: str, model: bytes, terms: Contract, title: str) -> Contract:
        """Write one bundle."""
        return bundle.pack(self.job.out / name, terms, model, card.write(terms, title))

    def rows(self, split: str) -> npt.NDArray[np.uint8]:
        """The prepared photographs of one split, uint8 (rows, size, size, 3)."""
        return self.pixels.values[self.pixels.rows(split)]

    def some(self) -> npt.NDArray[np.uint8]:
        """The training photographs that slimming and the int8 ranges look at."""
        random = np.random.default_rng(self.job.seed)
        chosen = random.permutation(self.pixels.rows("train"))[: self.recipe.photographs]
        return self.pixels.values[np.sort(chosen)]

    def key(self) -> str:
        """Changes when the run, its photographs, the recipe or the seed change."""
        parts = (self.contract.model.sha256, self.pixels.key, self.recipe, self.job.seed)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
