"""A wish that one thread utters and another one hears."""

from __future__ import annotations

import threading


class Bell:
    """Rung in any thread; heard once, however often it was rung meanwhile."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Somebody wishes for something."""
        self._rung.set()

    def heard(self) -> bool:
        """Whether it was rung since the last call."""
        found = self._rung.is_set()
        if found:  # else a ring at this very moment would be lost
            self._rung.clear()
        return found
