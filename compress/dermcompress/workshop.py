"""Where rungs are built: each step's result is kept by what it is made of, and used again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tf_keras as keras

from dermcompress import answers, convert, importance, peer, rebuild, representative, student
from dermcompress.answers import Answers
from dermcompress.distill import Course, Lesson, mimic
from dermcompress.fold import fold
from dermcompress.layer_errors import LayerError, layer_errors
from dermcompress.quantize import quantize_aware
from dermcompress.recipe import FLOAT, FULL, PEER, QAT, RANDOM, SLIM, CompressRecipe, Rung
from dermcompress.slim import Aim, Seen, slim
from dermcompress.sparsify import sparsify
from dermcompress.student import Student
from dermedge import __version__, atomic
from dermedge.contract import Contract, Input
from dermedge.errors import InputError
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.dataset import Pixels, prepared, targets
from dermtrain.store import Store
from dermtrain.truth import Truth

_PLAIN: Mapping[str, Callable[[keras.Model, bool], bytes]] = {
    FLOAT: convert.to_float,
    "float16": convert.to_float16,
    "dynamic": convert.to_dynamic,
}
_ROOM = 10**9  # bytes that the kept steps may need
_COMPARED, _WORST = 8, 5  # photographs on which int8 is compared layer by layer; layers named


@dataclass(frozen=True, slots=True)
class Source:
    """The full model, its contract, and the photographs that it was trained on."""

    model: keras.Model
    contract: Contract
    table: Table


@dataclass(frozen=True, slots=True)
class Built:
    """One rung's model, before it is judged.

    Attributes:
        model: The .tflite file.
        side: Of its square input, pixels.
        macs: Multiply-accumulates for one photograph.
        parameters: Weights and biases.
        zeros: Share of the kernel weights that are 0.
        made: How, for the contract's provenance.
    """

    model: bytes
    side: int
    macs: int
    parameters: int
    zeros: float
    made: dict[str, Any]


class Workshop:
    """Builds the rungs of a recipe from one full model."""

    def __init__(
        self,
        source: Source,
        recipe: CompressRecipe,
        seed: int,
        store: Store,
        whole: bool = True,
        progress: Progress = silent,
    ) -> None:
        """Fold the full model and find its photographs.

        Args:
            source: What is compressed.
            recipe: How.
            seed: Of everything that is drawn.
            store: Where photographs and finished steps are kept.
            whole: Whether the files also give the class-activation map and the embedding.
            progress: Told of all stages.

        Raises:
            InputError: Too few training photographs.
        """
        self.source, self.recipe, self.seed = source, recipe, seed
        self.store, self.whole, self.progress = store, whole, progress
        self._pixels: dict[int, Pixels] = {}
        self._chosen: dict[int, representative.Representative] = {}
        self.full = student.of(fold(source.model))
        self.side = recipe.size or self.full.side
        self.pixels = self.at(self.full.side)
        names = tuple(label.name for label in source.contract.labels)
        self.truth = Truth(targets(source.table, names), source.contract.positive)
        self.train = self.pixels.rows("train")
        if len(self.train) < recipe.batch:
            raise InputError(
                f"{source.table.source}: {len(self.train)} training photographs, fewer than a "
                f"batch of the recipe ({recipe.batch})"
            )

    def at(self, side: int) -> Pixels:
        """The photographs, prepared for this side of the input."""
        if side not in self._pixels:
            spec = self.input(side)
            self._pixels[side] = prepared(self.source.table, spec, self.store, self.progress)
        return self._pixels[side]

    def input(self, side: int) -> Input:
        """The contract's input for this side."""
        return replace(self.source.contract.input, height=side, width=side)

    def build(self, rung: Rung) -> Built:
        """Build a rung, or find it."""
        pupil, how = self.student(rung), self.recipe
        learnt = rung.export == QAT and (how.quantize, how.learning_rate, how.batch, how.views)
        seen = rung.export not in _PLAIN and how.photographs
        parts = (*self._of(rung), rung.export, self.whole, seen, learnt)
        path, notes = self._kept(".tflite", *parts), self._kept(".json", *parts)
        if not path.is_file() or not notes.is_file():
            model = self._export(rung, pupil)
            worst = () if rung.export in _PLAIN else self._worst(pupil, model)
            atomic.write_text(notes, json.dumps([dataclasses.asdict(layer) for layer in worst]))
            atomic.write_bytes(path, model)
        looked = seen or rung.net in (SLIM, RANDOM)
        return Built(
            path.read_bytes(),
            pupil.side,
            student.macs(pupil.net),
            student.parameters(pupil.net),
            student.zeros(pupil.net),
            {
                "rung": str(rung),
                "side": pupil.side,
                "representative": self.chosen(pupil.side).as_dict() if looked else None,
                "worst_layers": json.loads(notes.read_text(encoding="utf-8")),
            },
        )

    def student(self, rung: Rung) -> Student:
        """The net of a rung, before it is exported."""
        if rung.sparsity:
            return self._step(rung, lambda: self._sparse(rung))
        if rung.distil:
            return self._step(rung, lambda: self._taught(rung))
        if rung.net == FULL:
            return self.full
        return self._step(rung, lambda: self._slim(rung))

    def chosen(self, side: int) -> representative.Representative:
        """The representative photographs, for this side of the input."""
        if side not in self._chosen:
            pixels, labels, count = self.at(side), self.truth.labels, self.recipe.photographs
            self._chosen[side] = representative.choose(pixels.values, self.train, labels, count)
        return self._chosen[side]

    @cached_property
    def answers(self) -> Answers:
        """What the full model says of the training photographs."""
        views, run = self.recipe.views, self.source.contract.model.sha256
        digest = _digest(__version__, run, self.pixels.key, views, answers.GRID)
        folder = self.store.entry(f"answers-{digest}")
        if not any(folder.iterdir()):
            self.store.reserve(answers.size(self.full, len(self.train), views))
        source = self.pixels.values
        return answers.ask(self.full, source, self.train, views, folder, self.progress)

    def _lesson(self, side: int) -> Lesson:
        return Lesson(self.at(side).values, self.train, self.answers)

    def _slim(self, rung: Rung) -> Student:
        how = self.recipe
        by_chance = rung.net == RANDOM
        aim = Aim(how.work, RANDOM if by_chance else how.criterion, how.rounds, even=by_chance)
        start = self._sized()
        rows = self.chosen(self.side).rows
        seen = Seen(self.at(self.side).values[rows], self.truth.labels[rows])
        scales = importance.scales(self.source.model)
        found = slim(start, aim, seen, self.seed, self.progress, scales)
        return student.of(found.net, found.stays)

    def _taught(self, rung: Rung) -> Student:
        how = self.recipe
        if rung.net == PEER:
            classes = len(self.source.contract.labels)
            pupil = Student(peer.build(self.side, classes, self.seed), {})
            course = replace(self._course(rung.distil), learning_rate=how.peer_rate)
        else:
            pupil = self.student(replace(rung, distil=0, sparsity=0.0))
            course = self._course(rung.distil)
        mimic(pupil, self._lesson(pupil.side), course, f"teaching {rung.net}", self.progress)
        return Student(fold(pupil.net), {}) if rung.net == PEER else pupil

    def _sparse(self, rung: Rung) -> Student:
        pupil = self.student(replace(rung, sparsity=0.0))
        course = self._course(self.recipe.sparsify)
        lesson = self._lesson(pupil.side)
        return sparsify(pupil, lesson, rung.sparsity, course, self.progress)

    def _export(self, rung: Rung, pupil: Student) -> bytes:
        if rung.export in _PLAIN:
            return _PLAIN[rung.export](pupil.watched(), self.whole)
        pixels = self.at(pupil.side).values
        aware = quantize_aware(pupil, pixels[self.chosen(pupil.side).rows])
        if rung.export == QAT and self.recipe.quantize:
            course = self._course(self.recipe.quantize)
            lesson = self._lesson(pupil.side)
            mimic(pupil, lesson, course, "learning int8", self.progress, net=aware)
        return convert.to_int8(aware, self.whole)

    def _worst(self, pupil: Student, model: bytes) -> tuple[LayerError, ...]:
        """The layers that int8 changes most, against the same net in float."""
        rows = self.chosen(pupil.side).rows[:: -(-self.recipe.photographs // _COMPARED)]
        exact = convert.to_float(pupil.watched(), self.whole)
        return layer_errors(exact, model, self.at(pupil.side).values[rows])[:_WORST]

    def _step(self, rung: Rung, make: Callable[[], Student]) -> Student:
        """Take a step, or find what it gave."""
        path = self._kept(".npz", *self._of(rung))
        if not path.is_file():
            make().save(path)
        side = self.full.side if rung.net == FULL else self.side
        return student.load(self._template(rung), path, side)

    def _template(self, rung: Rung) -> keras.Model:
        if rung.net != PEER:
            return self.full.net
        return fold(peer.build(self.side, len(self.source.contract.labels), self.seed))

    def _sized(self) -> keras.Model:
        """The full net for the slim nets' input."""
        net = self.full.net
        return net if self.side == self.full.side else rebuild.resized(net, self.side)

    def _course(self, epochs: int) -> Course:
        how = self.recipe
        return Course(epochs, how.learning_rate, how.batch, self.seed)

    def _of(self, rung: Rung) -> list[object]:
        """All that a rung's net is made of, beside the full model and the photographs."""
        how = self.recipe
        parts: list[object] = [rung.net]
        if rung.net != FULL:
            parts.append(self.side)
        if rung.net not in (FULL, PEER):
            parts += [how.work, how.rounds, how.photographs, rung.net == RANDOM or how.criterion]
        if rung.distil:
            rate = how.peer_rate if rung.net == PEER else how.learning_rate
            parts += [rung.distil, rate, how.batch, how.views]
        if rung.sparsity:
            parts += [rung.sparsity, how.sparsify, how.learning_rate, how.batch, how.views]
        return parts

    def _kept(self, suffix: str, *parts: object) -> Path:
        """Where a step's result is kept; the name changes with all that it is made of."""
        run = self.source.contract.model.sha256
        digest = _digest(__version__, run, self.pixels.key, self.seed, *parts)
        folder = self.store.entry(f"compress-{run[:16]}")
        path = folder / f"{digest}{suffix}"
        if not path.is_file():
            self.store.reserve(_ROOM)
        return path


def _digest(*parts: object) -> str:
    """A name that changes with all of these."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
