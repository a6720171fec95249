"""Which channels may leave, and what the others must do so that nothing is missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def choose(gram: Matrix, weights: Matrix, keep: int) -> npt.NDArray[np.int64]:
    """Choose the channels to keep: again and again the one leaves whose loss costs least.

    With inputs X (gram = X'X / n) and a linear consumer X W, removing channel j and re-solving for
    the rest raises the squared error by |w_j|^2 / inv(gram)_jj (optimal brain surgeon, Hassibi &
    Stork 1993, for a whole row of W at once). Inverse and W are then brought up to date, so that of
    two channels that say the same only one leaves.

    Args:
        gram: (channels, channels), second moments of the inputs.
        weights: (channels, outputs) of the consumer.
        keep: How many stay.

    Returns:
        Their numbers, sorted, int64 (keep,).
    """
    _, upper = np.linalg.qr(weights.T)
    rows = upper.T  # fewer columns, the same lengths of all rows
    inverse = np.linalg.inv(ridged(gram))
    solved = inverse @ (gram @ rows)
    kept = np.ones(len(gram), bool)
    for _ in range(len(gram) - keep):
        cost = np.square(solved).sum(axis=1) / np.maximum(np.diag(inverse), 1e-300)
        worst = int(np.argmin(np.where(kept, cost, np.inf)))
        others = inverse[:, worst] / inverse[worst, worst]
        solved -= np.outer(others, solved[worst])
        inverse -= np.outer(others, inverse[worst])
        kept[worst] = False
    return np.flatnonzero(kept)


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
