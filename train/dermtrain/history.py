"""What training did, step by step: the history, and the plateau that ends a phase."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Called after each step with the finished entry, so that the command can print it.
Listener = Callable[["Entry"], None]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One step: an epoch of gradient descent, or one solved head (strength for learning rate)."""

    learning_rate: float
    loss: float
    val_loss: float
    val_auc: float
    idle: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of history.csv; `idle` is the share of the time that the device waited for input."""

    phase: str
    epoch: int
    learning_rate: float
    loss: float
    val_loss: float
    val_auc: float
    idle: float
    seconds: float


class Phase:
    """One phase under way: knows its best step and whether the validation AUC still gains.

    Attributes:
        aucs: Validation AUC of each step so far.
        best: Number of the best one.
    """

    def __init__(self, name: str, patience: int, history: History) -> None:
        """Begin a phase, or take it up again where the history's entries of its name end."""
        self.name, self.patience, self.best = name, patience, 0
        self._history = history
        self.aucs: list[float] = []
        self.waited, self._start = 0, time.monotonic()
        for entry in history.entries:
            if entry.phase == name:
                self._count(entry.val_auc)

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return len(self.aucs)

    @property
    def improved(self) -> bool:
        """Whether the last step is the best so far."""
        return self.best == self.steps - 1

    @property
    def plateau(self) -> bool:
        """Whether `patience` steps in a row brought no better AUC."""
        return self.waited >= self.patience

    def add(self, epoch: Epoch) -> bool:
        """Record one step; True at a plateau."""
        now = time.monotonic()
        seconds = round(now - self._start, 2)
        self._start = now
        entry = Entry(self.name, self.steps, **dataclasses.asdict(epoch), seconds=seconds)
        self._count(epoch.val_auc)
        self._history.tell(entry)
        return self.plateau

    def wait(self, waited: int = 0) -> None:
        """Wait anew: something, such as the learning rate, has changed."""
        self.waited = waited

    def _count(self, auc: float) -> None:
        self.aucs.append(auc)
        if self.steps == 1 or auc > self.aucs[self.best]:
            self.best, self.waited = self.steps - 1, 0
        else:
            self.waited += 1


class History:
    """All phases of one run."""

    def __init__(self, *listeners: Listener) -> None:
        self.entries: list[Entry] = []
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> None:
        """Tell one more listener of each entry."""
        self._listeners.append(listener)

    def phase(self, name: str, patience: int) -> Phase:
        """Begin a phase, or go on with one whose entries are there already."""
        return Phase(name, patience, self)

    def tell(self, entry: Entry) -> None:
        """Keep an entry, and tell the listeners."""
        self.entries.append(entry)
        for listener in self._listeners:
            listener(entry)

    def to_csv(self) -> str:
        """The text of history.csv."""
        stream = io.StringIO()
        columns = [field.name for field in dataclasses.fields(Entry)]
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(entry) for entry in self.entries)
        return stream.getvalue()

    def resume(self, entries: Sequence[Entry]) -> None:
        """Take over what an interrupted run had recorded; nobody is told again."""
        self.entries[:] = entries
