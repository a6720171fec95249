"""Draw the tutorial's figures: python docs/figures/make.py [NAME ...] [--out FOLDER]."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import convolution
import descent
import layers
import substitute
import threshold
import training

IMAGES = Path(__file__).parents[1] / "images"
FIGURES: dict[str, Callable[[Path], None]] = {
    "knob": descent.knob,
    "bowl": descent.bowl,
    "hierarchy": layers.hierarchy,
    "unfreezing": layers.unfreezing,
    "sharing": convolution.sharing,
    "first-run": training.first_run,
    "too-early": training.too_early,
    "threshold": threshold.threshold,
    "prevalence": threshold.prevalence,
    "substitute": substitute.substitute,
}


def main() -> None:
    """Draw the figures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--out", type=Path, default=IMAGES)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(FIGURES))
    if unknown:
        parser.error(f"unknown figure {', '.join(unknown)}; known: {', '.join(FIGURES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.names or FIGURES:
        FIGURES[name](given.out / f"{name}.svg")
        print(given.out / f"{name}.svg")


if __name__ == "__main__":
    main()
