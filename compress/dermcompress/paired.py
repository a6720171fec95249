"""Two models on the same photographs: differences with their intervals, and McNemar's test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from dermedge import metrics
from dermedge.compare import called
from dermedge.intervals import Interval, wilson
from dermedge.macro import macro_auc, macro_auc_difference
from dermedge.predictions import Predictions

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after; `difference` is after - before, with its paired interval."""

    before: float
    after: float
    difference: Interval


@dataclass(frozen=True, slots=True)
class McNemar:
    """Do two models err equally often, judged by the photographs on which only one errs.

    Attributes:
        lost: Photographs that only the first model gets right.
        gained: Photographs that only the second model gets right.
        p_value: Of "equally often", exact and two-sided.
    """

    lost: int
    gained: int
    p_value: float


def mcnemar(before: Rows, after: Rows) -> McNemar:
    """McNemar 1947 in its exact form: the discordant pairs are binomial with p = 1/2.

    Args:
        before: Whether the first model is right, bool (n,).
        after: The same of the second model, on the same photographs.
    """
    lost, gained = int(np.sum(before & ~after)), int(np.sum(~before & after))
    discordant = lost + gained
    p_value = float(binomtest(lost, discordant).pvalue) if discordant else 1.0
    return McNemar(lost, gained, p_value)


def share_change(before: Rows, after: Rows) -> Change:
    """Change of a share between two models on the same photographs, bool (n,) each, n > 0.

    Newcombe 1998 (Statistics in Medicine 17:2635), method 10: Wilson's intervals of both shares,
    combined with their correlation, that being corrected for continuity.

    Raises:
        InputError: No photographs.
    """
    n = len(before)
    one, two = wilson(int(before.sum()), n), wilson(int(after.sum()), n)
    together = _correlation(before, after)

    def spread(up: float, down: float) -> float:
        # The square is never below 0 but for rounding, the correlation being at most 1.
        return math.sqrt(max(0.0, up**2 - 2 * together * up * down + down**2))

    value = two.value - one.value
    low = value - spread(two.value - two.low, one.high - one.value)
    high = value + spread(two.high - two.value, one.value - one.low)
    bounds = Interval(value, max(-1.0, low), min(1.0, high), "Newcombe, paired")
    return Change(one.value, two.value, bounds)


def auc_change(before: Predictions, after: Predictions, rows: Rows | None = None) -> Change:
    """Change of the AUC (DeLong); without positive classes of the mean AUC of the classes.

    Args:
        before: What the first model says.
        after: What the second says of the same photographs.
        rows: Which of them count, bool (n,); all by default.

    Raises:
        InputError: Photographs of one class only.
    """
    rows = np.ones(len(before.targets), np.bool_) if rows is None else rows
    groups = before.table.groups[rows]
    if before.contract.positive:
        labels = before.labels[rows]
        p, q = before.probabilities[rows], after.probabilities[rows]
        bounds = metrics.auc_difference(labels, p, q, groups).interval
        return Change(metrics.auc(labels, p), metrics.auc(labels, q), bounds)
    targets = before.targets[rows]
    p, q = before.class_probabilities[rows], after.class_probabilities[rows]
    bounds = macro_auc_difference(targets, p, q, groups).interval
    return Change(macro_auc(targets, p), macro_auc(targets, q), bounds)


def right(predictions: Predictions) -> Rows:
    """Whether each photograph is decided rightly, at the model's own frozen threshold, bool (n,).

    Without positive classes: whether the top class is the right one.
    """
    found = called(predictions)
    return found == predictions.labels if predictions.contract.positive else found


def _correlation(before: Rows, after: Rows) -> float:
    """Newcombe's phi: shrunk towards 0 by half a photograph's worth where it is positive."""
    n = len(before)
    both, neither = int(np.sum(before & after)), int(np.sum(~before & ~after))
    lost, gained = int(np.sum(before & ~after)), int(np.sum(~before & after))
    spread = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if not spread:
        return 0.0
    covariance = both * neither - lost * gained
    return (max(covariance - n / 2, 0) if covariance > 0 else covariance) / math.sqrt(spread)
