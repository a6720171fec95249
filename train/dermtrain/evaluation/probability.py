"""Do probabilities mean what they say: Brier, log loss, calibration error, slope."""

from __future__ import annotations

import numpy as np

from dermedge.metrics import BINS
from dermtrain.evaluation.sample import Floats, Labels, Sample

_LEAST = 1e-12
_DRAWS = 1000


def brier(sample: Sample) -> Floats:
    """Mean squared error of the probabilities (Brier 1950), (B,)."""
    return _mean(sample, (sample.probabilities - sample.labels) ** 2)


def log_loss(sample: Sample) -> Floats:
    """Mean negative log-likelihood, nats, (B,)."""
    chosen = np.where(sample.labels, sample.probabilities, 1 - sample.probabilities)
    return _mean(sample, -np.log(np.maximum(chosen, _LEAST)))


def calibration_error(sample: Sample, bins: int = BINS) -> Floats:
    """Expected calibration error over bins of equal mass (Nixon et al. 2019), (B,).

    The bins are those of the photographs as they are, for every weighting.
    """
    member = _membership(sample.probabilities, bins)
    gap = (sample.weights * (sample.probabilities - sample.labels)) @ member
    return np.abs(gap).sum(axis=1) / sample.weights.sum(axis=1)


def error_by_chance(probabilities: Floats, seed: int, bins: int = BINS) -> tuple[float, float]:
    """Mean and 95th percentile of the calibration error of a perfectly calibrated model.

    Such a model too shows an error on few photographs: outcomes are drawn with just the
    probabilities that are stated (consistency resampling, Broecker & Smith 2007).
    """
    random = np.random.default_rng(seed)
    member = _membership(probabilities, bins)
    errors = []
    for _ in range(_DRAWS):
        labels = random.random(len(probabilities)) < probabilities
        errors.append(np.abs((probabilities - labels) @ member).sum() / len(labels))
    return float(np.mean(errors)), float(np.percentile(errors, 95))


def slope(labels: Labels, probabilities: Floats) -> tuple[float, float] | None:
    """Calibration intercept and slope (Cox 1958): logit(truth) = intercept + slope * logit(p).

    0 and 1 if probabilities mean what they say; a slope below 1 says that they are too extreme.

    Returns:
        None where no logistic regression can be fitted: the classes are perfectly separated, or all
        probabilities are equal.
    """
    from sklearn.linear_model import LogisticRegression

    p = np.clip(probabilities, _LEAST, 1 - _LEAST)
    logit = np.log(p) - np.log1p(-p)
    positive, negative = logit[labels], logit[~labels]
    apart = positive.min() >= negative.max() or positive.max() <= negative.min()
    if apart or np.ptp(logit) == 0:
        return None
    fit = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8).fit(logit[:, None], labels)
    return float(fit.intercept_[0]), float(fit.coef_[0, 0])


def _membership(probabilities: Floats, bins: int) -> Floats:
    """Which bin of equal mass holds each probability, one-hot, (n, bins)."""
    edges = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
    return np.eye(bins)[np.searchsorted(edges, probabilities, side="right")]


def _mean(sample: Sample, each: Floats) -> Floats:
    return (sample.weights @ each) / sample.weights.sum(axis=1)
