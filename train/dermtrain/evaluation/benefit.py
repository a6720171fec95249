"""Decision curve: what acting on the model is worth, for every view of harm against benefit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermtrain.evaluation.resample import samples
from dermtrain.evaluation.sample import Floats, Labels, Sample, weigh

_STEPS, _LEAST_TOP, _TOP = 60, 0.06, 0.6


@dataclass(frozen=True, slots=True)
class Curve:
    """Net benefit at each threshold probability, in true positives per photograph.

    Attributes:
        thresholds: (k,); whoever refers from 0.1 on holds one missed positive to be nine times as
            bad as one needless referral.
        model: Refer whom the model gives that probability, (k,).
        low: 95 % interval of `model` by group bootstrap, as `high`.
        everyone: Refer all, (k,); refer none is 0.
        prevalence: For which it holds.
    """

    thresholds: Floats
    model: Floats
    low: Floats
    high: Floats
    everyone: Floats
    prevalence: float

    @property
    def useful(self) -> tuple[tuple[float, float], ...]:
        """Stretches of thresholds at which the model is better than referring all or none."""
        better = self.model > np.maximum(self.everyone, 0) + 1e-12
        edges = np.flatnonzero(np.diff(np.concatenate([[0], better.astype(int), [0]])))
        return tuple(
            (float(self.thresholds[a]), float(self.thresholds[b - 1]))
            for a, b in edges.reshape(-1, 2)
        )


def net_benefit(sample: Sample, thresholds: Floats, prevalence: float | None = None) -> Floats:
    """Net benefit of the model, (B, k): TP / n - FP / n * t / (1 - t) (Vickers & Elkin 2006).

    With a stated prevalence, shares of each class are weighted by it instead (as in dcurves).
    """
    reached = [sample.reached(float(t)) for t in thresholds]
    sensitive = np.stack([found for found, _ in reached], 1) / sample.positives[:, None]
    false = np.stack([wrong for _, wrong in reached], 1) / sample.negatives[:, None]
    share: Floats = (
        sample.positives / (sample.positives + sample.negatives)
        if prevalence is None
        else np.full(len(sample.weights), prevalence)
    )
    share = share[:, None]
    return sensitive * share - false * (1 - share) * (thresholds / (1 - thresholds))


def everyone(prevalence: float, thresholds: Floats) -> Floats:
    """Net benefit of referring all, (k,)."""
    return prevalence - (1 - prevalence) * thresholds / (1 - thresholds)


def thresholds(prevalence: float) -> Floats:
    """Threshold probabilities worth looking at: up to three times the prevalence, rising."""
    top = min(_TOP, max(_LEAST_TOP, 3 * prevalence))
    return np.arange(1, _STEPS + 1) / _STEPS * top


def moved(probabilities: Floats, own: float, prevalence: float) -> Floats:
    """Probabilities as they are at another prevalence, by Bayes (Saerens et al. 2002), (n,).

    The odds change by the same factor as those of being positive at all.
    """
    factor = prevalence / (1 - prevalence) * (1 - own) / own
    return probabilities * factor / (probabilities * factor + 1 - probabilities)


def curve(
    labels: Labels,
    probabilities: Floats,
    group: npt.NDArray[np.int64],
    prevalence: float | None,
    resamples: int,
    seed: int,
) -> Curve:
    """The decision curve with its interval; see `resample.samples` for the arguments.

    A stated prevalence moves the probabilities too: they were given for the photographs' own.
    """
    own = float(labels.mean())
    held = own if prevalence is None else prevalence
    grid = thresholds(held)
    p = probabilities if prevalence is None else moved(probabilities, own, prevalence)
    value = net_benefit(weigh(labels, p), grid, prevalence)[0]
    drawn = samples(labels, p, group, resamples, seed)
    blocks = [net_benefit(sample, grid, prevalence) for sample in drawn]
    every = np.concatenate(blocks) if blocks else value[None]
    low, high = np.percentile(every, (2.5, 97.5), axis=0)
    return Curve(
        grid,
        value,
        np.minimum(low, value),
        np.maximum(high, value),
        everyone(held, grid),
        held,
    )
