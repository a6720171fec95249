"""Scores -> calibrated probability -> decision: refer, clear, a class's name, or uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from dermedge.contract import Contract, Decision

TOP = 3  # so many classes are told where none is positive


class Verdict(str, Enum):
    """What the kit says of one photograph, as a kind of answer."""

    REFER = "refer"
    CLEAR = "clear"
    NAMED = "named"  # a model without positive classes names the top one
    UNCERTAIN = "uncertain"
    NOT_ASSESSABLE = "not assessable"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the kit says of one photograph.

    Attributes:
        verdict: The kind of answer.
        decision: The answer in words: the verdict's value, or the name of the class that is named.
        probability: Of the positive classes together; of the top class where none is positive.
    """

    verdict: Verdict
    decision: str
    probability: float


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


def reported_probability(
    logits: npt.NDArray[np.floating], temperature: float, positive: Sequence[int]
) -> npt.NDArray[np.float64]:
    """The probability that is reported, float64 of shape logits.shape[:-1].

    That of the positive classes together; where no class is positive, that of the top class.
    """
    return reported(probabilities(logits, temperature), positive)


def reported(each: npt.NDArray[np.float64], positive: Sequence[int]) -> npt.NDArray[np.float64]:
    """The same, from the calibrated probabilities of all classes (..., n)."""
    return each[..., list(positive)].sum(axis=-1) if positive else each.max(axis=-1)


def judge(each: npt.NDArray[np.float64], terms: Contract, assessable: bool = True) -> Judgement:
    """Turn the calibrated probabilities of one photograph, (n,), into what is said of it."""
    probability = float(reported(each, terms.positive))
    if terms.positive or not assessable:
        verdict = decide(probability, terms.decision, assessable)
        return Judgement(verdict, verdict.value, probability)
    # The band holds the threshold: its upper end is the least that is enough, and 1 is never.
    enough = terms.decision.uncertain_band[1]
    if probability < enough or enough == 1:
        return Judgement(Verdict.UNCERTAIN, Verdict.UNCERTAIN.value, probability)
    return Judgement(Verdict.NAMED, terms.labels[int(np.argmax(each))].name, probability)


def top(each: npt.NDArray[np.floating], terms: Contract, count: int = TOP) -> dict[str, float]:
    """The most probable classes, name to probability, the first one leading."""
    order = np.argsort(-np.asarray(each), kind="stable")[:count]
    return {terms.labels[int(i)].name: float(each[int(i)]) for i in order}
