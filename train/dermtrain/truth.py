"""What the labels say, and how well logits agree with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge import metrics, topclass
from dermedge.decide import positive_probability, probabilities
from dermedge.intervals import Interval
from dermedge.macro import macro_auc, macro_auc_interval


@dataclass(frozen=True, slots=True)
class Truth:
    """Class numbers, int64 (rows,), and the numbers of the positive classes, if there are any."""

    labels: npt.NDArray[np.int64]
    positive: tuple[int, ...]

    @property
    def is_positive(self) -> npt.NDArray[np.bool_]:
        """Whether each row's class is positive, (rows,)."""
        return np.isin(self.labels, self.positive)

    def reported(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Whether that is so of which the reported probability is given, (rows,).

        That the class is positive; without positive classes, that the top one is the right one.
        """
        if self.positive:
            return self.is_positive
        return topclass.right(self.labels, probabilities(logits, 1.0))

    def of(self, rows: npt.NDArray[np.int64]) -> Truth:
        """The truth of some rows."""
        return Truth(self.labels[rows], self.positive)

    def auc(self, logits: npt.NDArray[np.floating]) -> float:
        """AUC of the positive classes together, for logits (rows, classes).

        Without positive classes the mean AUC of each class against the rest.
        """
        if not self.positive:
            return macro_auc(self.labels, probabilities(logits, 1.0))
        return metrics.auc(self.is_positive, positive_probability(logits, 1.0, self.positive))

    def auc_interval(self, logits: npt.NDArray[np.floating]) -> Interval:
        """`auc` with its 95 % interval by DeLong's variance."""
        if not self.positive:
            return macro_auc_interval(self.labels, probabilities(logits, 1.0))
        score = positive_probability(logits, 1.0, self.positive)
        return metrics.auc_interval(self.is_positive, score)

    def loss(self, logits: npt.NDArray[np.floating]) -> float:
        """Cross-entropy in nats for logits (rows, classes), every class weighing the same."""
        chosen = probabilities(logits, 1.0)[np.arange(len(self.labels)), self.labels]
        each = -np.log(np.maximum(chosen, 1e-12))
        return float(np.mean([each[self.labels == c].mean() for c in np.unique(self.labels)]))
