"""What several frames of one view say together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from dermedge.contract import Contract
from dermedge.decide import Verdict, judge
from dermedge.diagnose import Diagnosis


@dataclass(frozen=True, slots=True)
class Consensus:
    """The mean of the recent assessable frames.

    Attributes:
        probability: Of their mean; None if there are no such frames.
        verdict: The contract's rule on their mean; uncertain unless more than half of the frames
            say the same each for itself, not assessable if there are none.
        decision: The same in words; the name of a class that is named.
        averaged: Number of these frames.
        agreeing: Of them, those whose own decision is that of the mean.
    """

    probability: float | None = None
    verdict: Verdict = Verdict.NOT_ASSESSABLE
    decision: str = Verdict.NOT_ASSESSABLE.value
    averaged: int = 0
    agreeing: int = 0


class Recent:
    """The last judged frames, of one model and one opening of the camera."""

    def __init__(self, count: int) -> None:
        """Keep so many, 1 or more; those not assessable count, so that nothing old lingers."""
        self._each: deque[Diagnosis | None] = deque(maxlen=count)
        self._of: tuple[Contract, int] | None = None

    def add(self, found: Diagnosis, opening: int) -> Consensus:
        """Take the next frame.

        Args:
            found: What is said of it alone.
            opening: See `grabber.Frame`.
        """
        terms = found.bundle.contract
        # Another model, or a camera that was away and may show another lesion: begin anew.
        if self._of is None or self._of[0] is not terms or self._of[1] != opening:
            self._each.clear()
            self._of = terms, opening
        self._each.append(found if found.quality.ok else None)
        return _consensus([each for each in self._each if each is not None], terms)


def agreement(agreeing: int, averaged: int) -> str:
    """How many frames a smoothed judgement rests on, in words; empty without any."""
    if averaged < 2:
        return "one frame so far" if averaged else ""
    return f"{agreeing} of {averaged} frames agree"


def _consensus(known: list[Diagnosis], terms: Contract) -> Consensus:
    if not known:
        return Consensus()
    mean = judge(np.mean([each.probabilities for each in known], axis=0), terms)
    agreeing = sum(each.decision == mean.decision for each in known)
    verdict, decision = mean.verdict, mean.decision
    if 2 * agreeing <= len(known):
        verdict, decision = Verdict.UNCERTAIN, Verdict.UNCERTAIN.value
    return Consensus(mean.probability, verdict, decision, len(known), agreeing)
