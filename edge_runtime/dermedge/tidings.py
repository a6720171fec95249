"""What has happened, in words: told by one thread, heard by another, in bounded memory."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

_MOST = 20  # the oldest go


class Tidings:
    """Texts that wait until somebody asks for them."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=_MOST)

    def tell(self, text: str) -> None:
        """Something has happened."""
        self._waiting.append(text)

    def take(self) -> list[str]:
        """What has happened since the last call, in order."""
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._waiting.popleft())
        return found
