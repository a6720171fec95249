"""When a judgement is captured: the picture is steady and good, or somebody asks for it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Protocol

from dermedge.live import Sighting

HOLD_S = 1.0
REST_S = 0.5


class Trigger(Protocol):
    """Says of each judged frame whether it is to be captured."""

    @property
    def name(self) -> str:
        """How it stands in the record."""
        ...

    def fired(self, sighting: Sighting) -> bool:
        """Whether to capture this frame; to be called for each judged one, in order."""
        ...


class Steady:
    """Fires once when every frame has been assessable for a while.

    It fires again only after the camera was taken away: a view of which frames are not assessable
    for a while. One bad frame in between is none, but begins the wait anew.
    """

    name = "steady"

    def __init__(self, hold_s: float = HOLD_S, rest_s: float = REST_S) -> None:
        """Wait for `hold_s` seconds of good frames, then for `rest_s` of bad ones."""
        self._hold_s, self._rest_s = hold_s, rest_s
        self._since = 0.0  # when the present run of good, or of bad, frames began
        self._good: bool | None = None
        self._opening = 0
        self._armed = True

    def fired(self, sighting: Sighting) -> bool:
        """Whether to capture this frame; see `Trigger.fired`."""
        good, now = sighting.diagnosis.quality.ok, sighting.frame.captured
        if sighting.frame.opening != self._opening:  # the camera was away: a new view
            self._opening, self._good, self._armed = sighting.frame.opening, None, True
        if good is not self._good:
            self._good, self._since = good, now
        lasts_s = now - self._since
        if not good:
            self._armed = self._armed or lasts_s >= self._rest_s
            return False
        if not self._armed or lasts_s < self._hold_s:
            return False
        self._armed = False
        return True


class Asked:
    """Fires at the first frame that is judged after somebody asked."""

    def __init__(self, name: str, asked: Callable[[], bool]) -> None:
        """`asked` says whether somebody has asked since it was last called."""
        self.name = name
        self._asked = asked

    def fired(self, sighting: Sighting) -> bool:
        """Whether to capture this frame; see `Trigger.fired`."""
        return self._asked()


def entered(file: int) -> bool:
    """Whether a line was entered at a terminal since the last call; nothing is waited for.

    Args:
        file: Its descriptor; at its end nothing is ever entered.
    """
    readable, _, _ = select.select([file], [], [], 0)
    return bool(readable) and bool(os.read(file, 4096))
