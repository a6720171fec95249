"""Batches for a phase, made ready while the device works; it is told how long the device waited."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.model import cores
from dermtrain.features import Source
from dermtrain.views import Views

_AHEAD = 3  # batches made ready
_FRESH = 1 << 20  # fresh views are numbered from here, past every cached one

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """In which order photographs are drawn.

    Attributes:
        rows: Numbers of the training rows.
        labels: Class of every row of the table.
        batch: Photographs in a step, over all machines.
        balance: `draw` draws every class equally often; anything else each photograph once.
    """

    rows: Rows
    labels: npt.NDArray[np.int64]
    batch: int
    balance: str

    @property
    def steps(self) -> int:
        """Steps in an epoch; a short last batch is left out."""
        return max(1, len(self.rows) // self.batch)

    def epoch(self, seed: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Rows of each step, (steps, batch); the same seed gives the same order."""
        random = np.random.default_rng(seed)
        wanted = self.steps * min(self.batch, len(self.rows))
        if self.balance != "draw":
            return random.permutation(self.rows)[:wanted].reshape(self.steps, -1)
        classes = [self.rows[self.labels[self.rows] == c] for c in np.unique(self.labels)]
        classes = [members for members in classes if len(members)]
        each = -(-wanted // len(classes))
        drawn = [_rounds(members, each, random) for members in classes]
        # Interleaved, so that every batch holds every class.
        return np.stack(drawn, 1).ravel()[:wanted].reshape(self.steps, -1)


def _rounds(members: Rows, count: int, random: np.random.Generator) -> Rows:
    """The members in random order, all of them before any comes again."""
    rounds = [random.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate(rounds)[:count]


class Feed:
    """Gives batches and counts the seconds that were spent waiting for them."""

    def __init__(self, order: Order, share: slice = slice(None)) -> None:
        """Feed from an order; `share` is the part of each batch that this machine takes."""
        self.order, self.share, self.waited = order, share, 0.0

    def cached(self, sources: list[Source], seed: tuple[int, ...]) -> Iterator[tuple[Rows, object]]:
        """Rows and features of each step of an epoch, each step in a random one of the views."""
        random = np.random.default_rng((*seed, 1))

        def make(rows: Rows, view: int) -> npt.NDArray[np.float32]:
            return sources[view][rows].astype(np.float32)

        with ThreadPoolExecutor(1) as pool:
            tasks = (
                (rows, pool.submit(make, rows, int(random.integers(len(sources)))))
                for rows in self._epoch(seed)
            )
            yield from self._ahead(tasks)

    def fresh(self, views: Views, seed: tuple[int, ...]) -> Iterator[tuple[Rows, object]]:
        """Rows and freshly augmented pixels (float32) of each step of an epoch."""
        number = _FRESH * (1 + np.random.default_rng((*seed, 2)).integers(1 << 30))

        with ThreadPoolExecutor(cores()) as pool, ThreadPoolExecutor(1) as loader:

            def make(rows: Rows, start: int) -> npt.NDArray[np.float32]:
                draws = [int(number) + start + i for i in range(len(rows))]
                return views.draw(rows, draws, pool).astype(np.float32)

            tasks = (
                (rows, loader.submit(make, rows, step * self.order.batch))
                for step, rows in enumerate(self._epoch(seed))
            )
            yield from self._ahead(tasks)

    def _epoch(self, seed: tuple[int, ...]) -> Iterator[Rows]:
        for rows in self.order.epoch(seed):
            yield rows[self.share]

    def _ahead(self, tasks: Iterator[tuple[Rows, Future]]) -> Iterator[tuple[Rows, object]]:
        """Keep some batches under way, in order."""
        waiting: deque[tuple[Rows, Future]] = deque()
        try:
            for task in tasks:
                waiting.append(task)
                if len(waiting) > _AHEAD:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:  # an interrupt need not wait for batches that nobody will use
            for _, future in waiting:
                future.cancel()

    def _next(self, waiting: deque[tuple[Rows, Future]]) -> tuple[Rows, object]:
        rows, future = waiting.popleft()
        start = time.monotonic()
        batch = future.result()
        self.waited += time.monotonic() - start
        return rows, batch
