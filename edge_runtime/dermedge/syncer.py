"""Syncs in a thread of its own, so that whoever writes doesn't wait for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Syncer:
    """Calls `sync` soon after each `ask`; asks that come while one is under way share the next."""

    def __init__(self, sync: Callable[[], None]) -> None:
        """Start the thread."""
        self._sync = sync
        self._asked = threading.Event()
        self._ended = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="dermedge-syncer", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Let what was written so far be synced.

        Raises:
            OSError: An earlier sync failed; told once.
        """
        self._tell()
        self._asked.set()

    def close(self) -> None:
        """End the thread, after the sync that is under way; the last one is the caller's.

        Raises:
            OSError: An earlier sync failed, and nobody was told yet.
        """
        self._ended = True
        self._asked.set()
        self._thread.join()
        self._tell()

    def _tell(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ended:
                return
            try:
                self._sync()
            except OSError as error:
                self._error = error
