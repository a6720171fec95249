"""What a compression looks at and learns from: photographs, prepared for any input, and answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress import answers, representative, steps
from dermcompress.answers import Answers
from dermcompress.distill import Lesson
from dermcompress.representative import Representative
from dermcompress.student import Student
from dermcompress.unlabelled import Unlabelled
from dermedge.contract import Contract, Input
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermtrain.dataset import Pixels, prepared, targets
from dermtrain.store import Store, digest
from dermtrain.truth import Truth


@dataclass(frozen=True, slots=True)
class Source:
    """The full model, its contract, its photographs, and further ones that it can teach from."""

    model: keras.Model
    contract: Contract
    table: Table
    unlabelled: Unlabelled = field(default_factory=Unlabelled)


class Photographs:
    """The photographs of a source; the first table is labelled, those behind it are not.

    Attributes:
        truth: Of the labelled ones.
        train: Numbers of those to learn from, int64.
        key: Changes when any, its split, its label or the full model's input changes.
        further: The same of each table behind the first.
    """

    def __init__(self, source: Source, count: int, store: Store, progress: Progress = silent):
        """Find and prepare them for the full model.

        Args:
            source: Whose.
            count: How many are representative.
            store: Where pixels and answers are kept.
            progress: Told of the photographs prepared, and asked about.

        Raises:
            InputError: Unreadable ones, or labels that the model does not know.
        """
        self._contract, self._count = source.contract, count
        self._store, self._progress = store, progress
        self._tables = (source.table, *source.unlabelled.tables)
        self._pixels: dict[tuple[int, int], Pixels] = {}
        self._chosen: dict[int, Representative] = {}
        names = tuple(label.name for label in source.contract.labels)
        self.truth = Truth(targets(source.table, names), source.contract.positive)
        self.train = self.rows("train")
        keys = [self._at(i, source.contract.input.height).key for i in range(len(self._tables))]
        parts = [(row.split, row.label) for row in source.table.rows]
        self.key, self.further = digest(keys[0], parts), keys[1:]

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Numbers of the labelled ones of a split, int64."""
        return np.flatnonzero([row.split == split for row in self._tables[0].rows])

    def at(self, side: int) -> Pixels:
        """The labelled ones, prepared for this side of the input."""
        return self._at(0, side)

    def input(self, side: int) -> Input:
        """The contract's input for this side."""
        return replace(self._contract.input, height=side, width=side)

    def chosen(self, side: int) -> Representative:
        """The representative ones, for this side of the input."""
        if side not in self._chosen:
            values, labels = self.at(side).values, self.truth.labels
            self._chosen[side] = representative.choose(values, self.train, labels, self._count)
        return self._chosen[side]

    def lesson(self, side: int, teacher: Student, views: int, table: int = 0) -> Lesson:
        """Those of a table that are learnt from, for this side, and those of the tables behind it.

        Args:
            side: Of the student's input.
            teacher: The full model, which is asked about each once.
            views: How it is asked, see `answers.ask`.
            table: Number of the table.
        """
        last = table + 1 == len(self._tables)
        more = None if last else self.lesson(side, teacher, views, table + 1)
        told = self._answers(table, teacher, views)
        return Lesson(self._at(table, side).values, self._learnt(table), told, more)

    def _answers(self, table: int, teacher: Student, views: int) -> Answers:
        pixels, rows = self._at(table, teacher.side), self._learnt(table)
        run, key = self._contract.model.sha256, self.further[table - 1] if table else self.key
        folder = self._store.entry(f"answers-{steps.name((run, key, views, answers.GRID))}")
        if not answers.kept(teacher, folder):
            self._store.reserve(answers.size(teacher, len(rows), views))
        return answers.ask(teacher, pixels.values, rows, views, folder, self._progress)

    def _learnt(self, table: int) -> npt.NDArray[np.int64]:
        return np.arange(len(self._tables[table].rows)) if table else self.train

    def _at(self, table: int, side: int) -> Pixels:
        if (table, side) not in self._pixels:
            found = prepared(self._tables[table], self.input(side), self._store, self._progress)
            self._pixels[table, side] = found
        return self._pixels[table, side]
