"""How long work will still take: libraries report to a callback, the command draws it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# progress(stage, done, total): `done` of `total` steps of `stage` are finished.
Progress = Callable[[str, int, int], None]

_FIRST_LINE_S, _EVERY_S = 2.0, 10.0


def silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


@contextmanager
def drawn() -> Iterator[Progress]:
    """Draw on standard error: a bar on a terminal, else a plain line now and then."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    # Standard output stays as it is: it may be a file of JSON lines.
    console = Console(stderr=True)
    with Bars(*_columns(), console=console, transient=True, redirect_stdout=False) as bars:
        tasks = {}

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.stop_task(task)
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield draw


def _columns() -> tuple:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Left

    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        Left(),
    )


class _Lines:
    """Plain lines: the first after two seconds, then every ten, and one at the end of a stage."""

    def __init__(self) -> None:
        self._stage, self._start, self._next = "", 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._start, self._next = stage, now, now + _FIRST_LINE_S
        spent = now - self._start
        if done >= total and spent >= _FIRST_LINE_S:
            print(f"{stage}: {total} of {total}, took {clock(spent)}", file=sys.stderr, flush=True)
            self._stage = ""
        elif 0 < done < total and now >= self._next:
            left = clock(spent / done * (total - done))
            print(f"{stage}: {done} of {total}, {left} left", file=sys.stderr, flush=True)
            self._next = now + _EVERY_S


def clock(seconds: float) -> str:
    """`75.2` -> `1:15`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
