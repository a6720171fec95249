"""What the camera loop has to say at this moment: written by its thread, read by the server's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dermedge.bell import Bell
from dermedge.live import Sighting

RESULTS = 20

_RATE_S = 2.0  # the rate is that of the last so many seconds
_WAITING = "waiting for the first frame"


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One judged frame.

    Attributes:
        sighting: It.
        remark: What must stand beside it, see `dermedge.basis.remark`.
        at: `time.monotonic()` when it was handed over, seconds.
    """

    sighting: Sighting
    remark: str
    at: float


@dataclass(slots=True)
class Tally:
    """What was judged so far.

    Attributes:
        judged: Frames.
        dropped: Frames that newer ones have overwritten.
        losses: How often the camera has gone.
        latency_s: Sum over all frames, from pixels to verdict.
        age_s: Sum over all frames, from capture to verdict.
        rate: Frames a second, lately.
    """

    judged: int = 0
    dropped: int = 0
    losses: int = 0
    latency_s: float = 0.0
    age_s: float = 0.0
    rate: float = 0.0


class Newest:
    """Holds one frame and the last results, and no more; nothing here waits for anybody.

    One thread writes and others read, without a lock: figures of a tally may be one frame apart.

    Attributes:
        results: The last judgements that were told, the newest first.
        tally: See there.
        ended: Set when the preview closes.
    """

    def __init__(self, stale_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A judgement older than `stale_s` seconds is none of the present."""
        self.results: tuple[dict[str, Any], ...] = ()
        self.tally = Tally()
        self.ended = False
        self._stale_s, self._clock = stale_s, clock
        self._now: Shot | str = _WAITING
        self._asked = Bell()
        self._mark = (clock(), 0)

    def show(self, sighting: Sighting, remark: str) -> None:
        """A frame was judged."""
        now, tally = self._clock(), self.tally
        tally.judged += 1
        tally.dropped, tally.losses = sighting.dropped, sighting.losses
        tally.latency_s += sighting.diagnosis.latency_ms / 1000
        tally.age_s += sighting.age_ms / 1000
        since, before = self._mark
        if now - since >= _RATE_S:
            tally.rate = (tally.judged - before) / (now - since)
            self._mark = now, tally.judged
        self._now = Shot(sighting, remark, now)

    def show_nothing(self, reason: str) -> None:
        """There is no camera at this moment."""
        self._now = reason

    def tell(self, line: dict[str, Any]) -> None:
        """A judgement was told, or recorded."""
        self.results = (line, *self.results)[:RESULTS]

    def ask(self) -> None:
        """Somebody wants a judgement to be captured."""
        self._asked.ring()

    def asked(self) -> bool:
        """Whether somebody has asked since the last call."""
        return self._asked.heard()

    def now(self) -> Shot | str:
        """The newest frame; in words why there is none."""
        found = self._now
        if isinstance(found, str):
            return found
        if self._clock() - found.at > self._stale_s:
            return f"no frame was judged for {self._stale_s:g} s"
        return found

    @property
    def rate(self) -> float:
        """Frames judged a second, lately; 0 while there is none."""
        return self.tally.rate if isinstance(self.now(), Shot) else 0.0
