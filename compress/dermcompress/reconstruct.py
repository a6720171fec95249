"""Which channels may leave, and what the others must do so that nothing is missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 8  # channels leave in so many rounds: after each, the rest have taken over

Matrix = npt.NDArray[np.float64]


def choose(gram: Matrix, weights: Matrix, keep: int) -> npt.NDArray[np.int64]:
    """Choose the channels to keep, by what losing each would cost after the others made up for it.

    With inputs X (gram = X'X / n) and a linear consumer X W, removing channel j and re-solving for
    the rest raises the squared error by |w_j|^2 / inv(gram)_jj (Hassibi & Stork 1993, for a whole
    row of W at once). In each round the cheapest leave and W is re-solved.

    Args:
        gram: (channels, channels), second moments of the inputs.
        weights: (channels, outputs) of the consumer.
        keep: How many stay.

    Returns:
        Their numbers, sorted, int64 (keep,).
    """
    kept = np.arange(len(gram))
    goal = gram @ weights  # X'Y / n: what the consumer must go on giving
    leave = len(gram) - keep
    for left in range(_ROUNDS, 0, -1):
        count = -(-leave // left)
        if count == 0:
            continue
        inverse = np.linalg.inv(ridged(gram[np.ix_(kept, kept)]))
        solved = inverse @ goal[kept]
        cost = (solved**2).sum(axis=1) / np.diag(inverse)
        kept = np.delete(kept, np.argsort(cost)[:count])
        leave -= count
    return kept


def solve(moments: Matrix, products: Matrix, start: Matrix) -> Matrix:
    """Weights that fit the targets, held near where they start (ridge on the change).

    Args:
        moments: X'X / n, (inputs, inputs).
        products: X'Y / n, (inputs, outputs).
        start: (inputs, outputs).

    Returns:
        argmin over W of |XW - Y|^2 / n + ridge |W - start|^2, (inputs, outputs).
    """
    return start + np.linalg.solve(ridged(moments), products - moments @ start)


def ridged(moments: Matrix, share: float = 1e-3) -> Matrix:
    """Second moments with a ridge of `share` of their mean diagonal: always invertible."""
    level = max(float(np.trace(moments)) / len(moments), 1e-12)
    return moments + share * level * np.eye(len(moments))
