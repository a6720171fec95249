"""What one threshold gives: sensitivity and specificity against each other, predictive values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dermedge.intervals import Interval, wilson
from dermtrain.evaluation.sample import Floats, Labels, Sample

# Mean of eight dermatologists on the test photographs of ISIC 2016: Marchetti et al. 2018, J. Am.
# Acad. Dermatol. 78:270. Other photographs than any measured here: a mark, not a rival.
READERS_SENSITIVITY, READERS_SPECIFICITY = 0.82, 0.59
GOAL_SENSITIVITY = 0.90
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """One operating point, frozen on validation, on other photographs.

    Attributes:
        name: What the threshold was chosen for.
        threshold: The probability from which a photograph is called positive.
        true_positive: Counts, as the three below.
        sensitivity: With Wilson's interval, as `specificity`.
        referred: Share of the photographs that are called positive.
    """

    name: str
    threshold: float
    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    sensitivity: Interval
    specificity: Interval
    referred: Interval


def point(name: str, threshold: float, labels: Labels, probabilities: Floats) -> Point:
    """Count what a frozen threshold does."""
    called = probabilities >= threshold
    found, false = int((called & labels).sum()), int((called & ~labels).sum())
    positives, negatives = int(labels.sum()), int((~labels).sum())
    return Point(
        name=name,
        threshold=threshold,
        true_positive=found,
        false_negative=positives - found,
        false_positive=false,
        true_negative=negatives - false,
        sensitivity=wilson(found, positives),
        specificity=wilson(negatives - false, negatives),
        referred=wilson(found + false, len(labels)),
    )


def specificity_at(sample: Sample, sensitivity: float) -> Floats:
    """Highest specificity of a threshold that reaches a sensitivity on these photographs, (B,).

    The threshold is chosen with the answers in view: it describes the curve, not a model in use.
    """
    enough = sample.found >= sensitivity * sample.positives[:, None] - _ROUNDING
    return 1 - np.where(enough, sample.fallout, 1.0).min(axis=1)


def sensitivity_at(sample: Sample, specificity: float) -> Floats:
    """Highest sensitivity of a threshold that reaches a specificity on these photographs, (B,)."""
    cleared = sample.negatives[:, None] - sample.false
    enough = cleared >= specificity * sample.negatives[:, None] - _ROUNDING
    return np.where(enough, sample.sensitivity, 0.0).max(axis=1)


def sensitivity(sample: Sample, threshold: float) -> Floats:
    """Share of the positives whose probability reaches the threshold, (B,)."""
    return sample.reached(threshold)[0] / sample.positives


def specificity(sample: Sample, threshold: float) -> Floats:
    """Share of the negatives whose probability stays below the threshold, (B,)."""
    return 1 - sample.reached(threshold)[1] / sample.negatives


def balanced_accuracy(sample: Sample, threshold: float) -> Floats:
    """Mean of sensitivity and specificity, (B,)."""
    return (sensitivity(sample, threshold) + specificity(sample, threshold)) / 2


def positive_value(sensitive: Floats, specific: Floats, prevalence: float | Floats) -> Floats:
    """Share of positives among those called positive, by Bayes; NaN where nobody is."""
    found = sensitive * prevalence
    return _share(found, (1 - specific) * (1 - prevalence))


def negative_value(sensitive: Floats, specific: Floats, prevalence: float | Floats) -> Floats:
    """Share of negatives among those called negative, by Bayes; NaN where nobody is."""
    cleared = specific * (1 - prevalence)
    return _share(cleared, (1 - sensitive) * prevalence)


def _share(part: Floats, other: Floats) -> Floats:
    whole = np.asarray(part + other, float)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
