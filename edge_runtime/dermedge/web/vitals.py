"""The device's temperature and throttling, looked at now and then, and only if somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermedge import board

_EVERY_S = 5.0  # each look may start a program


@dataclass(frozen=True, slots=True)
class Vital:
    """What the board says of itself.

    Attributes:
        temperature_c: Of its hottest sensor, degrees Celsius; None if unknown.
        throttled: Whether power or heat slows it down now; None where the board can't tell.
        power: The same in words, with what has happened since the start.
    """

    temperature_c: float | None
    throttled: bool | None
    power: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def look() -> Vital:
    """Ask the board; may take some seconds."""
    root = Path("/")
    bits = board.throttled(root)
    return Vital(board.temperature(root), board.slowed(bits), board.check_power(bits).says)


class Vitals:
    """Keeps what was seen for a few seconds."""

    def __init__(self, look: Callable[[], Vital] = look) -> None:
        """`look` is called in a thread of its own."""
        self._look = look
        self._lock = asyncio.Lock()
        self._seen: Vital | None = None
        self._again = 0.0

    async def now(self) -> Vital:
        """What was seen lately."""
        async with self._lock:
            if self._seen is None or time.monotonic() >= self._again:
                self._seen = await asyncio.to_thread(self._look)
                self._again = time.monotonic() + _EVERY_S
            return self._seen
