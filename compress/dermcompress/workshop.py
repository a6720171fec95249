"""Where rungs are built: each step's result is kept by what it is made of, and used again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tf_keras as keras

from dermcompress import (
    convert,
    edge_quantizer,
    float_layers,
    importance,
    peer,
    rebuild,
    steps,
    student,
)
from dermcompress.distill import Course, Lesson, mimic
from dermcompress.fold import fold
from dermcompress.graph import channels
from dermcompress.layer_errors import LayerError, layer_errors
from dermcompress.photographs import Photographs, Source
from dermcompress.quantize import quantize_aware, unknown
from dermcompress.ranges import pixel_ranges
from dermcompress.recipe import (
    EDGE,
    FLOAT,
    FULL,
    PEER,
    PTQ,
    QAT,
    RANDOM,
    SLIM,
    CompressRecipe,
    Rung,
)
from dermcompress.slim import Aim, Seen, slim
from dermcompress.sparsify import sparsify
from dermcompress.student import Student
from dermedge import atomic
from dermedge.errors import InputError
from dermedge.progress import Progress, silent
from dermtrain.store import Store

_PLAIN: Mapping[str, Callable[[keras.Model, bool], bytes]] = {
    FLOAT: convert.to_float,
    "float16": convert.to_float16,
    "dynamic": convert.to_dynamic,
}
_ROOM = 10**9  # bytes that the kept steps may need
_COMPARED, _WORST = 8, 5  # photographs on which int8 is compared layer by layer; layers named


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
            InputError: Too few training photographs, or unreadable ones.
        """
        self.source, self.recipe, self.seed = source, recipe, seed
        self.store, self.whole, self.progress = store, whole, progress
        self.full = student.of(fold(source.model))
        self.photographs = Photographs(source, recipe.photographs, store, progress)
        if len(self.photographs.train) < recipe.batch:
            raise InputError(
                f"{source.table.source}: {len(self.photographs.train)} training photographs, fewer "
                f"than a batch of the recipe ({recipe.batch})"
            )

    def build(self, rung: Rung) -> Built:
        """Build a rung, or find it."""
        pupil, how = self.student(rung), self.recipe
        learnt = rung.export == QAT and (
            *(how.quantize, how.learning_rate, how.batch, how.views),
            *self.photographs.further,
        )
        seen = rung.export not in _PLAIN and how.photographs
        parts = [*self._of(rung), rung.export, self.whole, seen, learnt]
        if kept := self.in_float(rung):  # what is kept of rungs without it keeps its name
            parts += ["keep", *sorted(kept)]
        path, notes = self.kept(".tflite", *parts), self.kept(".json", *parts)
        if not path.is_file() or not notes.is_file():
            model = self._export(rung, pupil)
            worst = () if rung.export in _PLAIN else self._worst(pupil, model)
            atomic.write_text(notes, json.dumps([dataclasses.asdict(layer) for layer in worst]))
            atomic.write_bytes(path, model)
        worst = json.loads(notes.read_text(encoding="utf-8"))
        slimmed = rung.net in (SLIM, RANDOM)
        looked = seen or slimmed
        further = self.source.unlabelled.as_dict() if self.photographs.further else None
        return Built(
            path.read_bytes(),
            pupil.side,
            student.macs(pupil.net),
            student.parameters(pupil.net),
            student.zeros(pupil.net),
            {
                "rung": str(rung),
                "side": pupil.side,
                "representative": self.photographs.chosen(pupil.side).as_dict() if looked else None,
                "unlabelled": further if how.learns(rung) else None,
                "worst_layers": worst,
                "noisiest_layer": _noisiest(worst),
                "gone_around": list(channels(self.full.net).unknown) if slimmed else [],
                "in_float": sorted(self.in_float(rung)),
            },
        )

    def in_float(self, rung: Rung) -> frozenset[str]:
        """Names of the layers that an int8 rung keeps in float: as it says, or for want of int8.

        Raises:
            InputError: A layer to keep that its net does not have.
        """
        if rung.export not in (PTQ, QAT):
            return frozenset()
        net = self._template(rung)
        return float_layers.resolve(net, rung.keep) | unknown(net)

    def student(self, rung: Rung) -> Student:
        """The net of a rung, before it is exported."""
        if rung.sparsity:
            return self._step(rung, lambda: self._sparse(rung))
        if rung.distil:
            return self._step(rung, lambda: self._taught(rung))
        if rung.net == FULL:
            return self.full
        return self._step(rung, lambda: self._slim(rung))

    def kept(self, suffix: str, *parts: object) -> Path:
        """Where a step's result is kept; the name changes with all that it is made of.

        Args:
            suffix: Of the name.
            parts: What it is made of, beside the full model and its photographs.

        Raises:
            StorageError: There is no room for it.
        """
        run = self.source.contract.model.sha256
        name = steps.name((run, self.photographs.key, self.seed, *parts))
        path = self.store.entry(f"compress-{run[:16]}") / f"{name}{suffix}"
        if not path.is_file():
            self.store.reserve(_ROOM)
        return path

    def _slim(self, rung: Rung) -> Student:
        how, photographs = self.recipe, self.photographs
        by_chance = rung.net == RANDOM
        aim = Aim(
            self._work(rung), RANDOM if by_chance else how.criterion, how.rounds, even=by_chance
        )
        start, side = self.full.net, self._side(rung)
        if side != self.full.side:
            start = rebuild.resized(start, side)
        rows = photographs.chosen(side).rows
        seen = Seen(photographs.at(side).values[rows], photographs.truth.labels[rows])
        scales = importance.scales(self.source.model) if aim.criterion == "bn" else None
        found = slim(start, aim, seen, self.seed, self.progress, scales)
        return student.of(found.net, found.stays)

    def _taught(self, rung: Rung) -> Student:
        how = self.recipe
        if rung.net == PEER:
            pupil = Student(self._peer(rung), {})
            course = replace(self._course(rung.distil), learning_rate=how.peer_rate)
        else:
            pupil = self.student(replace(rung, distil=0, sparsity=0.0))
            if pupil is self.full:  # which teaches, and is what other rungs start from
                pupil = Student(rebuild.resized(pupil.net, pupil.side), pupil.kept)
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
        seen = self.photographs.at(pupil.side).values[self.photographs.chosen(pupil.side).rows]
        if rung.export == EDGE:
            exact = convert.to_float(pupil.watched(), self.whole)
            return edge_quantizer.to_int8(exact, seen, pixel_ranges(pupil.net))
        aware = quantize_aware(pupil, seen, rung.keep)
        if rung.export == QAT and self.recipe.quantize:
            course = self._course(self.recipe.quantize)
            lesson = self._lesson(pupil.side)
            mimic(pupil, lesson, course, "learning int8", self.progress, net=aware)
        return convert.to_int8(aware, self.whole, self.in_float(rung))

    def _worst(self, pupil: Student, model: bytes) -> tuple[LayerError, ...]:
        """The layers that int8 changes most, and the one to keep in float, if it is another."""
        rows = self.photographs.chosen(pupil.side).rows[:: -(-self.recipe.photographs // _COMPARED)]
        exact = convert.to_float(pupil.watched(), self.whole)
        errors = layer_errors(exact, model, self.photographs.at(pupil.side).values[rows])
        worst, noisiest = errors[:_WORST], max(errors, key=lambda each: each.added)
        return worst if noisiest in worst else (*worst, noisiest)

    def _step(self, rung: Rung, make: Callable[[], Student]) -> Student:
        """Take a step, or find what it gave."""
        path = self.kept(".npz", *self._of(rung))
        if not path.is_file():
            make().save(path)
        return student.load(self._template(rung), path, self._side(rung))

    def _template(self, rung: Rung) -> keras.Model:
        return fold(self._peer(rung)) if rung.net == PEER else self.full.net

    def _peer(self, rung: Rung) -> keras.Model:
        """The peer before it has learnt anything."""
        return peer.build(self._side(rung), len(self.source.contract.labels), self.seed)

    def _side(self, rung: Rung) -> int:
        """Of a rung's input, pixels."""
        size = 0 if rung.net == FULL else rung.size or self.recipe.size
        return size or self.full.side

    def _lesson(self, side: int) -> Lesson:
        return self.photographs.lesson(side, self.full, self.recipe.views)

    def _work(self, rung: Rung) -> float:
        return rung.work or self.recipe.work

    def _course(self, epochs: int) -> Course:
        how = self.recipe
        return Course(epochs, how.learning_rate, how.batch, self.seed)

    def _of(self, rung: Rung) -> list[object]:
        """All that a rung's net is made of, beside the full model and the photographs."""
        how = self.recipe
        parts: list[object] = [rung.net]
        if rung.net != FULL:
            parts.append(self._side(rung))
        if rung.net not in (FULL, PEER):
            parts += [
                self._work(rung),
                how.rounds,
                how.photographs,
                rung.net == RANDOM or how.criterion,
            ]
        if rung.distil:
            rate = how.peer_rate if rung.net == PEER else how.learning_rate
            parts += [rung.distil, rate, how.batch, how.views]
        if rung.sparsity:
            parts += [rung.sparsity, how.sparsify, how.learning_rate, how.batch, how.views]
        if rung.distil or rung.sparsity:
            parts += self.photographs.further
        return parts


def _noisiest(layers: Sequence[Mapping[str, Any]]) -> str | None:
    """Of layer errors, as they are written, the layer to keep in float; None of a float file."""
    return max(layers, key=lambda each: each["added"])["layer"] if layers else None
