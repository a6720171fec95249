"""One prepared photograph -> another that the same lesion could have given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dermedge.errors import InputError
from dermedge.image import RGB
from dermtrain import artefacts, colours


@dataclass(frozen=True, slots=True)
class Augment:
    """How far photographs are changed while a model learns; a recipe's table [augment].

    Zero leaves a change out; with zeros alone only the crop to `side` is left. A strength is the
    most that may happen: what happens is drawn evenly up to it, in both directions.

    Attributes:
        flip: Probability of a mirror image, left to right; and the same, upside down.
        quarter: Probability of a turn by 90, 180 or 270 degrees, which costs nothing.
        rotate: Largest turn by any angle, degrees; corners are filled by reflection.
        zoom_in: Largest growth of the lesion, as a share: 0.3 is up to 1.3 times as large.
        zoom_out: The same the other way; what comes into view is a reflection.
        stretch: Largest change of the aspect ratio, as a share.
        side: Pixels of the square that is cut out at a random place; 0 keeps the photograph's size.
        constancy: Probability of colour constancy (shades of grey), blended in by 0 to 100 %.
        brightness: Largest change, as a share.
        contrast: Largest change, as a share.
        saturation: Largest change, as a share.
        hue: Largest turn of the colours, degrees of 360.
        hair: Probability of drawn hairs.
        ruler: Probability of a ruler's ticks along an edge.
        vignette: Probability of dark corners as in a dermatoscope.
    """

    flip: float = 0.5
    quarter: float = 0.75
    rotate: float = 45.0
    zoom_in: float = 0.3
    zoom_out: float = 0.1
    stretch: float = 0.1
    side: int = 0
    constancy: float = 0.2
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.15
    hue: float = 4.0
    hair: float = 0.1
    ruler: float = 0.05
    vignette: float = 0.05

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        chances = (self.flip, self.quarter, self.constancy, self.hair, self.ruler, self.vignette)
        shares = (self.brightness, self.contrast, self.saturation)
        return {
            "flip, quarter, constancy, hair, ruler and vignette lie in 0 to 1": all(
                0 <= chance <= 1 for chance in chances
            ),
            "brightness, contrast and saturation lie in 0 to 0.9": all(
                0 <= share <= 0.9 for share in shares
            ),
            "rotate and hue lie in 0 to 180": all(0 <= v <= 180 for v in (self.rotate, self.hue)),
            "zoom_in and zoom_out lie in 0 to 3": all(
                0 <= v <= 3 for v in (self.zoom_in, self.zoom_out)
            ),
            "stretch lies in 0 to 1": 0 <= self.stretch <= 1,
            "side is 0 or at least 16": self.side == 0 or self.side >= 16,
        }


@dataclass(frozen=True, slots=True)
class Draw:
    """What happens to one photograph; the defaults change nothing.

    Attributes:
        mirror: Left to right.
        upside: Upside down.
        quarters: Turns by 90 degrees, against the clock.
        angle: Further turn, degrees, against the clock.
        zoom: Growth of the lesion.
        stretch: Aspect ratio of what was square: wide above 1.
        place: Of the part that is cut out, -1 (left, top) to 1 (right, bottom).
        constancy: Share of colour constancy, 0 to 1.
        brightness: Factor.
        contrast: Factor.
        saturation: Factor.
        hue: Degrees.
        hair: Whether hairs are drawn.
        ruler: Whether a ruler is drawn.
        vignette: Whether the corners turn dark.
    """

    mirror: bool = False
    upside: bool = False
    quarters: int = 0
    angle: float = 0.0
    zoom: float = 1.0
    stretch: float = 1.0
    place: tuple[float, float] = (0.0, 0.0)
    constancy: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    hair: bool = False
    ruler: bool = False
    vignette: bool = False


def augment(image: RGB, how: Augment, random: np.random.Generator) -> RGB:
    """Change a prepared photograph by chance, as the recipe allows.

    Args:
        image: uint8 (height, width, 3), RGB; stays as it is.
        how: What may happen, and how far.
        random: Where the chance comes from; in the same state it gives the same pixels.

    Returns:
        uint8 (how.side, how.side, 3), or with side 0 (height, width, 3), RGB.

    Raises:
        InputError: The photograph is smaller than how.side.
    """
    return change(image, draw(how, random), random, how.side)


def draw(how: Augment, random: np.random.Generator) -> Draw:
    """Draw what happens to one photograph."""
    chance = random.random(7) < (
        *(how.flip, how.flip, how.quarter),
        *(how.constancy, how.hair, how.ruler, how.vignette),
    )
    spread = random.uniform(-1, 1, 9)
    return Draw(
        mirror=bool(chance[0]),
        upside=bool(chance[1]),
        quarters=int(random.integers(1, 4)) if chance[2] else 0,
        angle=how.rotate * spread[0],
        # Even in the logarithm, so that twice as large is as likely as half as large.
        zoom=math.exp(random.uniform(-math.log1p(how.zoom_out), math.log1p(how.zoom_in))),
        stretch=math.exp(math.log1p(how.stretch) * spread[1]),
        place=(float(spread[2]), float(spread[3])),
        constancy=float((spread[4] + 1) / 2) if chance[3] else 0.0,
        brightness=1 + how.brightness * spread[5],
        contrast=1 + how.contrast * spread[6],
        saturation=1 + how.saturation * spread[7],
        hue=how.hue * spread[8],
        hair=bool(chance[4]),
        ruler=bool(chance[5]),
        vignette=bool(chance[6]),
    )


def change(image: RGB, drawn: Draw, random: np.random.Generator, side: int = 0) -> RGB:
    """Do to a photograph what was drawn, in the order in which it happens to a real one.

    The lesion is turned, hairs and ruler lie over it, the tube shades both, and the camera colours
    everything.

    Args:
        image: uint8 (height, width, 3), RGB; stays as it is.
        drawn: What happens.
        random: For the shapes of hairs, ruler and vignette.
        side: See `Augment`.

    Raises:
        InputError: The photograph is smaller than `side`.
    """
    image = _place(image, drawn, side)
    if drawn.hair:
        image = artefacts.hairs(image, random)
    if drawn.ruler:
        image = artefacts.ruler(image, random)
    if drawn.vignette:
        image = artefacts.vignette(image, random)
    factors = (drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue)
    if factors == (1.0, 1.0, 1.0, 0.0) and drawn.constancy == 0:
        return image
    gain = None
    if drawn.constancy > 0:
        gain = 1 + drawn.constancy * (colours.constancy_gain(image) - 1)
    return colours.recolour(image, *factors, gain)


def _place(image: RGB, drawn: Draw, side: int) -> RGB:
    """Mirror, turn, scale and cut out; a fresh array."""
    height, width = image.shape[:2]
    if side > min(height, width):
        raise InputError(f"side {side}: expected at most {min(height, width)}, the photograph's")
    rows, columns = (side, side) if side else (height, width)
    slack = np.array([width - columns / drawn.zoom, height - rows / drawn.zoom])
    shift = np.abs(slack) / 2 * drawn.place
    # A photograph that is not square keeps its shape: no quarter turns, only half turns.
    quarters = drawn.quarters if height == width else drawn.quarters // 2 * 2
    mirror, upside = -1 if drawn.mirror else 1, -1 if drawn.upside else 1
    if (drawn.angle, drawn.zoom, drawn.stretch) == (0.0, 1.0, 1.0):
        turned = np.rot90(image, quarters)[::upside, ::mirror]
        left, top = np.rint(np.array([width - columns, height - rows]) / 2 + shift).astype(int)
        return turned[top : top + rows, left : left + columns].copy(order="C")
    # From the pixels of the new picture to those of the old one, about the middle of both: the
    # same mirror and quarter turns cost nothing when they are part of the matrix.
    square = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarters) * (mirror, upside)
    turn = math.radians(drawn.angle)
    wide = math.sqrt(drawn.stretch)
    scale = np.array([1 / (drawn.zoom * wide), wide / drawn.zoom])
    cos, sin = math.cos(turn), math.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) * scale
    origin = shift - linear @ ((columns - 1) / 2, (rows - 1) / 2)
    matrix = square @ np.column_stack([linear, origin])
    matrix[:, 2] += (width - 1) / 2, (height - 1) / 2
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
    warped = cv2.warpAffine(image, matrix, (columns, rows), flags=flags, borderMode=border)
    return np.asarray(warped, np.uint8)
