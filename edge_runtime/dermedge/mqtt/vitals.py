"""How the machine of a camera fares: its heat, its power supply, its pace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dermedge import board
from dermedge.live import Sighting


class Vitals:
    """Counts frames in the thread that judges them; is read, now and then, in another one."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Begin to count.

        Args:
            root: Where /sys lies.
        """
        self._root = root
        self._frames = 0
        self._newest: Sighting | None = None
        self._read_frames, self._read_at = 0, time.monotonic()

    def count(self, sighting: Sighting) -> None:
        """One more frame was judged."""
        self._frames += 1
        self._newest = sighting

    def read(self, now: float) -> dict[str, Any]:
        """The present state as JSON; may wait for another program of this machine, seconds.

        Args:
            now: `time.monotonic()`, later than at the last call.

        Returns:
            `fps` since the last call, if that is a second ago; `latency_ms`, `dropped` and `losses`
            of the newest frame; `temperature_c` of the hottest sensor; whether power or heat slows
            the board down now (`throttled`). None: not known.
        """
        frames, newest = self._frames, self._newest
        passed_s = now - self._read_at
        fps = round((frames - self._read_frames) / passed_s, 1) if passed_s >= 1 else None
        self._read_frames, self._read_at = frames, now
        return {
            "fps": fps,
            "latency_ms": round(newest.diagnosis.latency_ms, 1) if newest else None,
            "dropped": newest.dropped if newest else 0,
            "losses": newest.losses if newest else 0,
            "temperature_c": board.temperature(self._root),
            "throttled": board.slowed(board.throttled(self._root)),
        }
