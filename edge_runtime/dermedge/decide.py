"""Scores -> calibrated probability -> decision: refer, clear, uncertain or not assessable."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import numpy.typing as npt

from dermedge.contract import Decision


class Verdict(str, Enum):
    """What the kit says of one photograph."""

    REFER = "refer"
    CLEAR = "clear"
    UNCERTAIN = "uncertain"
    NOT_ASSESSABLE = "not assessable"


def probabilities(logits: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float64]:
    """Calibrated class probabilities, float64 of the shape of `logits` (..., n).

    softmax(logits / temperature), Guo et al. 2017.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def positive_probability(
    logits: npt.NDArray[np.floating], temperature: float, positive: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Summed probability of the positive classes, float64 of shape logits.shape[:-1]."""
    return probabilities(logits, temperature)[..., list(positive)].sum(axis=-1)


def decide(probability: float, rule: Decision, assessable: bool = True) -> Verdict:
    """Turn the positive classes' probability into a verdict, by the contract's frozen rule."""
    if not assessable:
        return Verdict.NOT_ASSESSABLE
    low, high = rule.uncertain_band
    if low <= probability < high:
        return Verdict.UNCERTAIN
    return Verdict.REFER if probability >= rule.threshold else Verdict.CLEAR
