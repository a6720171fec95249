"""95 % intervals of shares, and of an AUC where DeLong's method has nothing to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from dermedge.errors import InputError

Z = NormalDist().inv_cdf(0.975)  # every interval is two-sided, 95 %
NEWCOMBE, MOVER = "Newcombe", "MOVER"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval; `method` names the formula."""

    value: float
    low: float
    high: float
    method: str = ""


def wilson(hits: int, n: int) -> Interval:
    """Share `hits / n` with the score interval of Wilson 1927.

    Raises:
        InputError: `n` is not positive, or `hits` does not lie in 0 to n.
    """
    if not (n > 0 and 0 <= hits <= n):
        raise InputError(f"expected 0 to n hits among n > 0 photographs, found {hits} of {n}")
    value, spread = hits / n, Z * Z / n
    centre = (value + spread / 2) / (1 + spread)
    half = Z * math.sqrt(value * (1 - value) / n + spread / (4 * n)) / (1 + spread)
    # At 0 and n hits the bounds reach 0 and 1 exactly, but for rounding.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(value, low, high, "Wilson")


def newcombe(value: float, positives: int, negatives: int) -> Interval:
    """Score interval of an AUC, defined for every value from 0 to 1 and every class size.

    The bounds t solve |value - t| = z * SE(t), where SE is that of Hanley & McNeil 1982 at t itself
    with both class sizes in its numerator averaged (Newcombe 2006, Statistics in Medicine 25:559,
    method 5).
    """
    mean = (positives + negatives) / 2 - 1

    def outside(t: float) -> bool:
        spread = t * (1 - t) * (1 + mean * ((1 - t) / (2 - t) + t / (1 + t)))
        return (value - t) ** 2 > Z * Z * spread / (positives * negatives)

    def bound(far: float) -> float:
        near = value
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (near, middle) if outside(middle) else (middle, far)
        return far

    low = bound(0.0) if value > 0 else 0.0
    high = bound(1.0) if value < 1 else 1.0
    return Interval(value, low, high, NEWCOMBE)


def mover(first: Interval, second: Interval) -> Interval:
    """Difference second - first from two single intervals, as if independent.

    MOVER, Zou & Donner 2008 (Statistics in Medicine 27:1693): each bound recovers the variance of
    its estimate. Cautious for two models on the same photographs, whose errors go together.
    """
    value = second.value - first.value
    low = value - math.hypot(second.value - second.low, first.high - first.value)
    high = value + math.hypot(second.high - second.value, first.value - first.low)
    return Interval(value, max(-1.0, low), min(1.0, high), MOVER)
