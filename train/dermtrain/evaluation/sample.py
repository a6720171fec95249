"""Photographs, weighted in many ways at once -> how many are found at each possible threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """One set of photographs under B weightings: itself, or B resamplings of it.

    Every figure is a function of this, so that an estimate and its bootstrap share one formula.

    Attributes:
        labels: Whether each photograph is positive, (n,).
        probabilities: Calibrated, of the positive classes together, (n,).
        weights: How often each photograph counts, (B, n).
        scores: The distinct probabilities, falling, (k,).
        found: Positives that reach each score, (B, k + 1); column 0 is 0, the last all of them.
        false: The same for negatives.
    """

    labels: Labels
    probabilities: Floats
    weights: Floats
    scores: Floats
    found: Floats
    false: Floats

    @property
    def positives(self) -> Floats:
        """Positives in all, (B,)."""
        return self.found[:, -1]

    @property
    def negatives(self) -> Floats:
        """Negatives in all, (B,)."""
        return self.false[:, -1]

    @property
    def sensitivity(self) -> Floats:
        """Share of the positives that reach each score, (B, k + 1)."""
        return self.found / self.positives[:, None]

    @property
    def fallout(self) -> Floats:
        """Share of the negatives that reach each score, 1 - specificity, (B, k + 1)."""
        return self.false / self.negatives[:, None]

    def reached(self, threshold: float) -> tuple[Floats, Floats]:
        """Positives and negatives whose probability reaches a threshold, (B,) each."""
        place = int(np.count_nonzero(self.scores >= threshold))
        return self.found[:, place], self.false[:, place]


def weigh(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Sample:
    """Count a set of photographs.

    Args:
        labels: (n,), True for the positive classes.
        probabilities: (n,).
        weights: (B, n), each at least 0; one weighting in which each counts once by default.
    """
    probabilities = np.asarray(probabilities, np.float64)
    weights = np.ones((1, len(labels))) if weights is None else weights
    scores, place = np.unique(-probabilities, return_inverse=True)
    order = np.argsort(place, kind="stable")
    last = np.cumsum(np.bincount(place)) - 1  # of each run of equal scores

    def reached(counted: Labels) -> Floats:
        sums = np.cumsum((weights * counted)[:, order], axis=1)[:, last]
        return np.concatenate([np.zeros((len(weights), 1)), sums], axis=1)

    return Sample(labels, probabilities, weights, -scores, reached(labels), reached(~labels))
