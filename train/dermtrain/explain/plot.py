"""The deletion curves as one SVG element for the page."""

from __future__ import annotations

import numpy as np

from dermedge.svg import GREY, canvas
from dermtrain.explain.check import CENTRE, CHANCE, GRADIENT, MAP, Check

# Okabe & Ito 2008; the dashes tell them apart without colour.
_STYLES = {
    MAP: ("#D55E00", "-", 2.4),
    GRADIENT: ("#0072B2", (0, (5, 1.5)), 2.0),
    CENTRE: ("#CC79A7", (0, (1, 1.2)), 2.0),
    CHANCE: (GREY, (0, (4, 2, 1, 2)), 2.0),
}


def deletion(found: Check, target: str, made_up: str = "") -> str:
    """Mean deletion curve of each order.

    Args:
        found: The check.
        target: Name of what the probability is of.
        made_up: What was made up, in words.
    """
    with canvas("Deletion curves", made_up, (6.6, 4.2)) as (axes, svg):
        for name, (colour, dash, width) in _STYLES.items():
            mean = found.mean(name)
            share = np.linspace(0, 100, len(mean))
            label = f"{name}, area {found.area(name):.3f}"
            axes.plot(share, mean, color=colour, linestyle=dash, linewidth=width, label=label)
        axes.set(
            xlabel="Share of the photograph taken away (%)",
            ylabel=f"Probability: {target}",
            xlim=(0, 100),
        )
        axes.set_ylim(bottom=0)
        axes.legend(loc="best")
    return svg()
