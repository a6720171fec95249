"""Probabilities before and after the temperature, which was fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dermedge.decide import positive_probability
from dermedge.metrics import Bin, calibration_bins
from dermedge.predictions import Predictions
from dermtrain.evaluation import probability
from dermtrain.evaluation.sample import Floats, weigh


@dataclass(frozen=True, slots=True)
class State:
    """How well one set of probabilities is calibrated.

    Attributes:
        brier: Mean squared error.
        log_loss: Nats.
        ece: Over bins of equal mass.
        mean: Mean probability, to be held against the observed share.
        intercept: Of Cox 1958, None where it can't be fitted; as `slope`.
        bins: Of the reliability diagram.
    """

    brier: float
    log_loss: float
    ece: float
    mean: float
    intercept: float | None
    slope: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Before (temperature 1) and after; `chance` is the ECE of a perfectly calibrated model.

    `chance_most` is the 95th percentile of that error on as many photographs.
    """

    temperature: float
    observed: float
    before: State
    after: State
    chance: float
    chance_most: float


def measure(predictions: Predictions, seed: int) -> Calibration:
    """Hold the probabilities of the positive classes against what came true."""
    terms = predictions.contract
    temperature = terms.calibration.temperature
    plain = positive_probability(predictions.logits, 1.0, terms.positive)
    mean, most = probability.error_by_chance(predictions.probabilities, seed)
    return Calibration(
        temperature=temperature,
        observed=float(predictions.labels.mean()),
        before=_state(predictions, plain),
        after=_state(predictions, predictions.probabilities),
        chance=mean,
        chance_most=most,
    )


def _state(predictions: Predictions, p: Floats) -> State:
    labels = predictions.labels
    sample = weigh(labels, p)
    fitted = probability.slope(labels, p)
    return State(
        brier=float(probability.brier(sample)[0]),
        log_loss=float(probability.log_loss(sample)[0]),
        ece=float(probability.calibration_error(sample)[0]),
        mean=float(np.mean(p)),
        intercept=fitted[0] if fitted else None,
        slope=fitted[1] if fitted else None,
        bins=calibration_bins(labels, p),
    )
