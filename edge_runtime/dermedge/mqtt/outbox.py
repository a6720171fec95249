"""What waits to be sent to a broker, in bounded memory: the newest of everything."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from dermedge.decide import Verdict
from dermedge.image import RGB
from dermedge.live import Sighting

EVENTS = 100

_CHANGED_S, _SAME_S, _OLD_S = 1.0, 10.0, 15.0
_TEXT = 255  # Home Assistant takes no longer state


class Outbox:
    """Filled by the thread that judges, emptied by the one that sends; neither waits.

    Attributes:
        about: What the newest state rests on.
        pictures: The newest captured picture, if it hasn't been sent.
        lost: Captured judgements that made room for newer ones.
    """

    def __init__(self, events: int = EVENTS) -> None:
        """Hold at most so many captured judgements."""
        self.about: dict[str, Any] | None = None
        self.pictures: deque[RGB] = deque(maxlen=1)
        self.lost = 0
        self._state: tuple[dict[str, Any], float] | None = None
        self._events: deque[Mapping[str, Any]] = deque(maxlen=events)
        self._lock = threading.Lock()

    def put(self, state: dict[str, Any], now: float) -> None:
        """The newest state, see `seen` and `unseen`, at `now`, seconds as in `Pace`."""
        self._state = state, now

    def state(self, now: float) -> dict[str, Any] | None:
        """It, unless it is old: a camera that hangs has no state that passes for the present."""
        newest = self._state
        return newest[0] if newest and now - newest[1] <= _OLD_S else None

    def add(self, event: Mapping[str, Any]) -> None:
        """One more captured judgement; the oldest goes if there are too many."""
        with self._lock:
            self.lost += len(self._events) == self._events.maxlen
            self._events.append(event)

    def first(self) -> Mapping[str, Any] | None:
        """The oldest captured judgement; None if there is none."""
        with self._lock:
            return self._events[0] if self._events else None

    def sent(self, event: Mapping[str, Any]) -> None:
        """This one has been sent, unless it has gone already."""
        with self._lock:
            if self._events and self._events[0] is event:
                self._events.popleft()


class Pace:
    """When a state is to be sent: a new one after a second at the earliest, else every 10 s."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._at: float | None = None

    def due(self, state: Mapping[str, Any], now: float) -> bool:
        """Whether to send this state at `now`, seconds by a clock that nobody sets."""
        if self._at is None:
            return True
        wait_s = _SAME_S if _key(state) == self._key else _CHANGED_S
        return now - self._at >= wait_s

    def sent(self, state: Mapping[str, Any], now: float) -> None:
        """It has been sent."""
        self._key, self._at = _key(state), now

    def reset(self) -> None:
        """Whoever listens may have missed all of it: the next state is due at once."""
        self._at = None


def seen(sighting: Sighting) -> dict[str, Any]:
    """The state while there is a camera, as JSON: smoothed over frames, see `Sighting`."""
    probability = sighting.smoothed_probability
    return {
        "decision": sighting.smoothed_decision[:_TEXT],
        "probability": None if probability is None else round(probability, 4),
        "quality": sighting.diagnosis.quality.verdict[:_TEXT],
        "problem": "",
        "age_ms": round(sighting.age_ms, 1),
        "time": sighting.time.isoformat(timespec="milliseconds"),
    }


def unseen(reason: str) -> dict[str, Any]:
    """The state while there is none: the last judgement would pass for the present one."""
    return {
        "decision": Verdict.NOT_ASSESSABLE.value,
        "probability": None,
        "quality": "no camera",
        "problem": reason,
        "age_ms": None,
        "time": None,
    }


def _key(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["decision"], state["quality"], bool(state["problem"])
