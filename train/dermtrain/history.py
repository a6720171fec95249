"""What training did, step by step: the history, and the plateau that ends a phase."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of history.csv."""

    phase: str
    epoch: int
    learning_rate: float
    loss: float
    val_loss: float
    val_auc: float
    seconds: float


class Phase:
    """One phase under way: knows its best step and whether the validation AUC still gains."""

    def __init__(self, name: str, patience: int, entries: list[Entry], listener: Listener) -> None:
        self.name, self.patience, self.best = name, patience, 0
        self._entries, self._listener = entries, listener
        self._aucs: list[float] = []
        self._waited, self._start = 0, time.monotonic()

    @property
    def improved(self) -> bool:
        """Whether the last step is the best so far."""
        return self.best == len(self._aucs) - 1

    def add(self, epoch: Epoch) -> bool:
        """Record one step; True at a plateau: `patience` steps in a row without a better AUC."""
        now = time.monotonic()
        entry = Entry(
            self.name,
            len(self._aucs),
            **dataclasses.asdict(epoch),
            seconds=round(now - self._start, 2),
        )
        self._start = now
        self._entries.append(entry)
        self._aucs.append(epoch.val_auc)
        if len(self._aucs) == 1 or epoch.val_auc > self._aucs[self.best]:
            self.best, self._waited = len(self._aucs) - 1, 0
        else:
            self._waited += 1
        self._listener(entry)
        return self._waited >= self.patience

    def patient_again(self) -> None:
        """Wait anew: something, such as the learning rate, has changed."""
        self._waited = 0


class History:
    """All phases of one run."""

    def __init__(self, listener: Listener = lambda entry: None) -> None:
        self.entries: list[Entry] = []
        self._listener = listener

    def phase(self, name: str, patience: int) -> Phase:
        """Begin a phase."""
        return Phase(name, patience, self.entries, self._listener)

    def to_csv(self) -> str:
        """The text of history.csv."""
        stream = io.StringIO()
        columns = [field.name for field in dataclasses.fields(Entry)]
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(entry) for entry in self.entries)
        return stream.getvalue()
