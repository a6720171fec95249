"""Transfer: on a frozen base only the head is trained, until its plateau."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dermtrain.history import Epoch, Phase
from dermtrain.truth import Truth

# On a frozen base, and with a linear head, training is a convex problem: for each strength of the
# regularisation it is solved to the end. The steps go from strong to weak; the plateau of the
# validation AUC ends them.
STRENGTHS = tuple(float(c) for c in np.geomspace(1e-5, 1.0, 21))


@dataclass(frozen=True, slots=True)
class Head:
    """A linear classifier: `weights` (classes, channels), `bias` (classes,), logits out."""

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def logits(self, pooled: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """float64 (rows, classes) for pooled features (rows, channels)."""
        return pooled @ self.weights.T + self.bias


def train_head(
    pooled: npt.NDArray[np.floating],
    truth: Truth,
    train: npt.NDArray[np.int64],
    val: npt.NDArray[np.int64],
    phase: Phase,
) -> Head:
    """Solve the head for weaker and weaker regularisation until validation no longer gains.

    Classes weigh the same, whatever their number. Each step is one entry of the history.

    Args:
        pooled: Pooled features of every view, (views, rows, channels).
        truth: Of all rows.
        train: Numbers of the rows to learn from, in every view.
        val: Numbers of the rows to watch, in view 0.
        phase: Records the steps and knows the plateau.
    """
    examples = np.concatenate(pooled[:, train])
    labels = np.tile(truth.labels[train], len(pooled))
    scale = StandardScaler().fit(examples)
    solver = LogisticRegression(class_weight="balanced", max_iter=500, warm_start=True)
    heads: list[Head] = []
    for strength in STRENGTHS:
        solver.set_params(C=strength).fit(scale.transform(examples), labels)
        heads.append(_unscaled(solver, scale))
        seen = heads[-1].logits(pooled[0])
        loss, val_loss = truth.of(train).loss(seen[train]), truth.of(val).loss(seen[val])
        if phase.add(Epoch(strength, loss, val_loss, truth.of(val).auc(seen[val]))):
            break
    return heads[phase.best]


def _unscaled(solver: LogisticRegression, scale: StandardScaler) -> Head:
    """Fold the standardisation into the classifier; two classes become two logits."""
    weights, bias = solver.coef_, solver.intercept_
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    weights = weights / scale.scale_
    return Head(weights, bias - weights @ scale.mean_)
