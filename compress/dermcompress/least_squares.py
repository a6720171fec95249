"""What the channels that stay must do so that nothing is missed: ridge regression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg

Matrix = npt.NDArray[np.float64]


def solve(moments: Matrix, products: Matrix, start: Matrix) -> Matrix:
    """Weights that fit the targets, held near where they start (ridge on the change).

    Args:
        moments: X'X / n, (inputs, inputs).
        products: X'Y / n, (inputs, outputs).
        start: (inputs, outputs).

    Returns:
        argmin over W of |XW - Y|^2 / n + ridge |W - start|^2, (inputs, outputs).
    """
    change = linalg.solve(ridged(moments), products - moments @ start, assume_a="pos")
    return start + change


def ridged(moments: Matrix, share: float = 1e-3) -> Matrix:
    """Second moments with a ridge of `share` of their mean diagonal: always invertible."""
    level = max(float(np.trace(moments)) / len(moments), 1e-12)
    return moments + share * level * np.eye(len(moments))
