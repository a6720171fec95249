"""How well probabilities rank: areas under the ROC and the precision-recall curve."""

from __future__ import annotations

import numpy as np

from dermtrain.evaluation.sample import Floats, Sample


def auc(sample: Sample) -> Floats:
    """Area under the ROC curve by trapezoids, ties counted half, (B,)."""
    return _area(sample.fallout, sample.sensitivity)


def average_precision(sample: Sample) -> Floats:
    """Mean precision over the positives, without interpolation, (B,).

    The sum of (recall_k - recall_(k-1)) * precision_k, as scikit-learn's average_precision_score.
    """
    called = sample.found + sample.false
    precision = np.divide(sample.found, called, out=np.zeros_like(called), where=called > 0)
    return (np.diff(sample.sensitivity, axis=1) * precision[:, 1:]).sum(axis=1)


def area_above(sample: Sample, sensitivity: float) -> Floats:
    """Area between the ROC curve and a least sensitivity, 0 to 1 - sensitivity, (B,).

    The score of the ISIC challenge 2024, with a least sensitivity of 0.8.
    """
    return _area(sample.fallout, sample.sensitivity, sensitivity)


def area_beyond(sample: Sample, sensitivity: float) -> Floats:
    """Area below the ROC curve, down to 0, from where it reaches a sensitivity on, (B,).

    `auc_sens_80` of the ISIC challenges 2018 and 2019 (isic-challenge-scoring).
    """
    start = _first(sample.fallout, sample.sensitivity, sensitivity)
    return area_above(sample, sensitivity) + sensitivity * (1 - start)


def mcclish(sample: Sample, fallout: float) -> Floats:
    """Area up to a greatest 1 - specificity, rescaled to 0.5 (chance) to 1, (B,).

    McClish 1989 (Med. Decis. Making 9:190); scikit-learn's roc_auc_score with max_fpr.
    """
    # With the classes' roles exchanged, the area left of a fallout lies above a specificity.
    area = _area(1 - sample.sensitivity[:, ::-1], 1 - sample.fallout[:, ::-1], 1 - fallout)
    least, most = fallout**2 / 2, fallout
    return (1 + (area - least) / (most - least)) / 2


def _area(x: Floats, y: Floats, floor: float = 0.0) -> Floats:
    """Area between a rising polyline (B, k) and a floor, where it lies above it, (B,)."""
    left, right = y[:, :-1], y[:, 1:]
    width = np.diff(x, axis=1)
    above = np.maximum(right - floor, 0)
    rise = right - left
    # Of a segment that crosses the floor only the part above it counts: a triangle.
    crossing = (left < floor) & (right > floor)
    share = np.divide(above, rise, out=np.ones_like(rise), where=crossing)
    lower = np.maximum(left - floor, 0)
    return (width * share * (lower + above) / 2).sum(axis=1)


def _first(x: Floats, y: Floats, level: float) -> Floats:
    """Where a rising polyline first reaches a level, (B,)."""
    # Shares are quotients of counts: a rounding error must not make one miss its level.
    place = np.argmax(y >= level - 1e-12, axis=1)
    rows = np.arange(len(y))
    before = np.maximum(place - 1, 0)
    rise = y[rows, place] - y[rows, before]
    share = np.divide(level - y[rows, before], rise, out=np.ones_like(rise), where=rise > 0)
    return x[rows, before] + np.minimum(share, 1) * (x[rows, place] - x[rows, before])
