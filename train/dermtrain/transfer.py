"""Transfer: on a frozen base only the head is trained, until its plateau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dermedge.intervals import Z
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
    views: Sequence[npt.NDArray[np.floating]],
    watched: npt.NDArray[np.floating],
    train: Truth,
    val: Truth,
    phase: Phase,
    simplest: bool = False,
) -> Head:
    """Solve the head for weaker and weaker regularisation until validation no longer gains.

    Classes weigh the same, whatever their number. Each step is one entry of the history.

    The head with the best validation AUC is the one to use as it is. What learns below a head wants
    another: one that explains the training photographs all too well leaves the layers below
    nothing to learn, and its large weights make their smallest change a large one. `simplest`
    takes the most strongly regularised head whose validation AUC lies within one standard error of
    the best (the rule of Breiman et al. 1984 for trees).

    Args:
        views: Pooled features of the training photographs, (train rows, channels) for each view.
        watched: The same of the validation photographs as they are, (validation rows, channels).
        train: Of the training photographs.
        val: Of the validation photographs.
        phase: Records the steps and knows the plateau.
        simplest: Which head is taken.
    """
    examples = np.concatenate(views)
    labels = np.tile(train.labels, len(views))
    scale = StandardScaler().fit(examples)
    scaled = scale.transform(examples)
    solver = LogisticRegression(class_weight="balanced", max_iter=500, warm_start=True)
    heads: list[Head] = []
    for strength in STRENGTHS:
        solver.set_params(C=strength).fit(scaled, labels)
        heads.append(_unscaled(solver, scale))
        seen = heads[-1].logits(watched)
        loss, val_loss = train.loss(heads[-1].logits(views[0])), val.loss(seen)
        if phase.add(Epoch(strength, loss, val_loss, val.auc(seen))):
            break
    if not simplest:
        return heads[phase.best]
    best = val.auc_interval(heads[phase.best].logits(watched))
    least = best.value - (best.value - best.low) / Z
    return next(head for head, auc in zip(heads, phase.aucs, strict=True) if auc >= least)


def _unscaled(solver: LogisticRegression, scale: StandardScaler) -> Head:
    """Fold the standardisation into the classifier; two classes become two logits."""
    weights, bias = solver.coef_, solver.intercept_
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    weights = weights / scale.scale_
    return Head(weights, bias - weights @ scale.mean_)
