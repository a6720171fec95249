"""How long to wait before the next try: twice as long each time, up to a bound, with chance."""

from __future__ import annotations

import random

_FIRST_S, _MOST_S = 0.5, 30.0


class Backoff:
    """Waits of a series of tries, seconds.

    "Full jitter" would also give waits near zero; here half of each wait is chance, so that a hub
    with several cameras is not asked by all of them at once, and none hurries (Brooker 2015).
    """

    def __init__(self, first_s: float = _FIRST_S, most_s: float = _MOST_S) -> None:
        """Begin with a wait of up to `first_s`, and never wait longer than `most_s`."""
        self._first_s, self._most_s = first_s, most_s
        self._now_s = first_s

    def next_s(self) -> float:
        """The next wait: between half of it and all of it, seconds."""
        wait_s = self._now_s
        self._now_s = min(2 * wait_s, self._most_s)
        return wait_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """All is well again: begin anew."""
        self._now_s = self._first_s
