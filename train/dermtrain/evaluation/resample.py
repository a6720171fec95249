"""Resampling of whole patients or lesions, and the intervals that it gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dermedge.intervals import Interval
from dermtrain.evaluation.sample import Floats, Labels, Sample, weigh

_AT_ONCE = 2_000_000  # weights held in memory at a time
METHOD, NO_SPREAD = "group bootstrap", "no spread in the resamples"


def drawn(group: npt.NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """Draw as many groups as there are, with replacement, again and again.

    Args:
        group: Number of each photograph's group, (n,), 0 to its maximum.
        resamples: How often.
        seed: The same seed draws the same groups.

    Yields:
        How often each photograph was drawn, (B, n), until there are `resamples` of them.
    """
    random = np.random.default_rng(seed)
    _, group = np.unique(group, return_inverse=True)
    count = int(group.max()) + 1
    block = max(1, _AT_ONCE // len(group))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield random.multinomial(count, np.full(count, 1 / count), size)[:, group].astype(float)


def samples(
    labels: Labels,
    probabilities: Floats,
    group: npt.NDArray[np.int64],
    resamples: int,
    seed: int,
    both: bool = True,
) -> Iterator[Sample]:
    """Resampled photographs (see `drawn`); if `both`, those that lack a class are left out."""
    for weights in drawn(group, resamples, seed):
        positives = weights @ labels
        kept = (positives > 0) & (positives < weights.sum(axis=1)) if both else positives >= 0
        if kept.any():
            yield weigh(labels, probabilities, weights[kept])


def percentile(value: float, draws: Floats) -> Interval:
    """The value with the middle 95 % of its bootstrap (Efron 1979); what is undefined is left out.

    Stretched where need be to hold the value itself.
    """
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(value, value, value, NO_SPREAD)
    low, high = np.percentile(draws, (2.5, 97.5))
    low, high = float(min(low, value)), float(max(high, value))
    return Interval(value, low, high, METHOD if low < high else NO_SPREAD)
