"""May this photograph be judged: size, sharpness, exposure, glare.

What counts is what the model sees: all but the size is measured on its input, which costs a camera
nothing more than the input costs anyway. So limits belong to a size of the input, and are learnt
for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dermedge.contract import QualityLimits
from dermedge.image import RGB
from dermedge.prepare import View

# A pixel whose three channels all lie between these carries no colour any more.
_COLOURLESS, _WHITE = (250, 250, 250), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one photograph.

    Attributes:
        side: Shorter side of the photograph, pixels.
        sharpness: Standard deviation of the Laplacian of what the model sees, grey levels.
        brightness: Mean grey level, 0 to 255.
        glare: Share of pixels without colour left, 0 to 1.
    """

    side: int
    sharpness: float
    brightness: float
    glare: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The verdict: `problems` says in words what to mend; empty means that it may be judged."""

    figures: Figures
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the photograph may be judged."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """`ok`, or the problems in words."""
        return "; ".join(self.problems) or "ok"


def measure(image: RGB, seen: View) -> Figures:
    """Measure one photograph, uint8 (height, width, 3), RGB, and what the model sees of it."""
    grey = cv2.cvtColor(seen.part, cv2.COLOR_RGB2GRAY)
    return Figures(
        side=min(image.shape[:2]),
        sharpness=float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]),
        brightness=float(cv2.mean(grey)[0]),
        glare=cv2.countNonZero(cv2.inRange(seen.part, _COLOURLESS, _WHITE)) / grey.size,
    )


def judge(image: RGB, seen: View, limits: QualityLimits) -> Quality:
    """Measure one photograph and hold it against the contract's limits; see `measure`."""
    figures = measure(image, seen)
    checks = (
        (
            figures.side < limits.min_side,
            f"too small: {figures.side} pixels, at least {limits.min_side}",
        ),
        (figures.brightness < limits.min_brightness, "too dark: more light"),
        (figures.brightness > limits.max_brightness, "too bright: less light"),
        (figures.glare > limits.max_glare, "glare: turn the light or the lens aside"),
        (figures.sharpness < limits.min_sharpness, "blurred: hold still and focus"),
    )
    return Quality(figures, tuple(text for wrong, text in checks if wrong))


def limits_from(figures: list[Figures]) -> QualityLimits:
    """Limits that training photographs keep, with room to spare.

    The darkest, brightest, most blurred and most glaring percent of the photographs that the model
    has learnt from mark where its experience ends. The limits lie beyond that: two thirds of the
    sharpness, half of the brightness, half of what is left to white, half as much glare again and
    a tenth of the picture. What they bar stands in docs/novelty.md.
    """
    sharpness, brightness, glare = np.array(
        [(f.sharpness, f.brightness, f.glare) for f in figures]
    ).T
    dark, bright = np.percentile(brightness, (1, 99))
    return QualityLimits(
        min_sharpness=float(np.percentile(sharpness, 1) / 1.5),
        min_brightness=float(dark / 2),
        max_brightness=float(255 - (255 - bright) / 2),
        max_glare=float(min(1.0, 0.1 + 1.5 * np.percentile(glare, 99))),
    )
