"""A hand that does one thing at a time, in a thread of its own, so that whoever asks goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from dermedge.closing import Closing


class Hand(Closing):
    """Takes one piece of work; the next one waits until that is done, so that no more can be lost.

    What a piece of work raises is raised by the next call of any kind, once.
    """

    def __init__(self, name: str) -> None:
        """Get ready; the thread, of this name, starts with the first piece of work."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._work: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin, once the work before is done; if that failed, this is not begun."""
        self._end()
        self._work = self._thread.submit(work)

    def look(self) -> None:
        """Raise what the work has failed with, if it is done; waits for nothing."""
        if self._work is not None and self._work.done():
            self._end()

    def close(self) -> None:
        """Finish the work."""
        try:
            self._end()
        finally:
            self._thread.shutdown()

    def _end(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.result()
