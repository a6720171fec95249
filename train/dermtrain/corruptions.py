"""The fifteen corruptions of MedMNIST-C's dermatology list, each in five severities.

List and parameters: Di Salvo, Doerrich, Ledig, "MedMNIST-C" (2024, arXiv 2406.17536), registry
`dermamnist`; most of them go back to Hendrycks and Dietterich (2019). Written anew with NumPy and
OpenCV, because the original needs PyTorch and ImageMagick.

The same as there: the names, the parameters, and the formulas at 224 pixels. What differs:

- Theirs are made for 224 x 224 pixels. Here lengths (radii of blurs, pixel blocks, letters) grow
  with the shorter side, so that 299 pixels look the same. Noise stays a matter of single pixels,
  and JPEG blocks stay 8 pixels wide. So corrupt the prepared picture, not the camera's.
- `black_corner` has 0.90 before 0.95 there; here the last two change places, so that every
  severity is worse than the one before.
- One seed draws the same grain, direction and words for every severity; theirs draws afresh.
- Values are rounded, not cut off, and scaling and JPEG are OpenCV's, not Pillow's: a few grey
  levels. OpenCV 5 draws letters with a TrueType font, where 4 drew Hershey's strokes.
- Borders of blurs are repeated (ImageMagick's way); their defocus mirrors them.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.errors import InputError
from dermedge.image import RGB

SEVERITIES = (1, 2, 3, 4, 5)
_SIDE = 224  # pixels for which the parameters were chosen

_Change = Callable[[RGB, np.random.Generator], "RGB | npt.NDArray[np.float32]"]


def corrupt(image: RGB, name: str, severity: int, seed: int) -> RGB:
    """Spoil a prepared photograph in one way.

    Args:
        image: uint8 (height, width, 3), RGB; stays as it is.
        name: One of NAMES.
        severity: 1 (slight) to 5 (strong).
        seed: Of noise, direction and text; the same seed gives the same pixels.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        InputError: An unknown name or severity.
    """
    if name not in _CHANGES:
        raise InputError(f"no corruption {name!r}; known: {', '.join(NAMES)}")
    if severity not in SEVERITIES:
        raise InputError(f"severity of {name}: expected 1 to 5, found {severity!r}")
    change = _CHANGES[name][severity - 1]
    spoilt = change(image, np.random.default_rng(seed))
    if spoilt.dtype != np.uint8:
        spoilt = np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)
    return np.asarray(spoilt, np.uint8)


def _scale(image: RGB) -> float:
    return min(image.shape[:2]) / _SIDE


def _pixelate(share: float, image: RGB, _: np.random.Generator) -> RGB:
    """Blocks of 1 / share pixels at 224; never fewer pixels in a block than that."""
    height, width = image.shape[:2]
    share /= max(1.0, _scale(image))
    size = (max(1, int(width * share)), max(1, int(height * share)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8
    )


def _jpeg(quality: int, image: RGB, _: np.random.Generator) -> RGB:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert back is not None  # it was written a line above
    return np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), np.uint8)


def _gaussian(deviation: float, image: RGB, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    grain = rng.standard_normal(image.shape, np.float32)
    return np.asarray(image + np.float32(255 * deviation) * grain, np.float32)


def _speckle(deviation: float, image: RGB, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    grain = rng.standard_normal(image.shape, np.float32)
    return np.asarray(image * (1 + np.float32(deviation) * grain), np.float32)


def _impulse(amount: float, image: RGB, rng: np.random.Generator) -> RGB:
    """Salt and pepper, half each, on every channel alone (scikit-image's random_noise)."""
    chance = rng.random(image.shape, np.float32)
    return np.where(chance < amount / 2, 0, np.where(chance > 1 - amount / 2, 255, image)).astype(
        np.uint8
    )


def _shot(photons: float, image: RGB, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """`photons` is what white means, in counted light."""
    return (rng.poisson(image * (photons / 255)) * (255 / photons)).astype(np.float32)


def _defocus(blur: tuple[float, float], image: RGB, _: np.random.Generator) -> RGB:
    """Radius of the disc of confusion at 224 pixels, and how soft its rim is, in pixels."""
    radius, soft = blur[0] * _scale(image), blur[1]
    reach = max(8, math.ceil(radius) + 1)
    line = np.arange(-reach, reach + 1)
    disc = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disc / disc.sum(), (3, 3), soft)
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _motion(blur: tuple[float, float], image: RGB, rng: np.random.Generator) -> RGB:
    """Half a Gaussian along a line within 45 degrees of level (ImageMagick's motion blur)."""
    radius, deviation = (value * _scale(image) for value in blur)
    turn = math.radians(rng.uniform(-45, 45))
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    reach = len(steps)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    rows = np.ceil(steps * math.sin(turn) - 0.5).astype(int) + reach
    columns = np.ceil(steps * math.cos(turn) - 0.5).astype(int) + reach
    np.add.at(kernel, (rows, columns), weights / weights.sum())
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _zoom(factors: tuple[float, float], image: RGB, _: np.random.Generator) -> RGB:
    """The mean of the photograph and of itself enlarged by 1, 1 + step, ... up to `end`."""
    end, step = factors
    height, width = image.shape[:2]
    total = image.astype(np.float32)
    zooms = np.arange(1, end, step)
    for zoom in zooms:
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, float(zoom))
        grown = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        cv2.accumulate(grown, total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / (len(zooms) + 1)), np.uint8)


def _brightness(factor: float, image: RGB, _: np.random.Generator) -> RGB:
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)


def _contrast(factor: float, image: RGB, _: np.random.Generator) -> npt.NDArray[np.float32]:
    """About the mean grey level, as Pillow does."""
    mean = round(float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()))
    return image * np.float32(factor) + np.float32(mean * (1 - factor))


def _black_corner(reach: float, image: RGB, _: np.random.Generator) -> RGB:
    """Black beyond a circle; `reach` is its radius in halves of the shorter side."""
    height, width = image.shape[:2]
    inside = np.zeros((height, width), np.uint8)
    radius = int(min(height // 2, width // 2) * reach)
    cv2.circle(inside, (width // 2, height // 2), radius, 255, -1)
    return np.where(inside[..., None] > 0, image, 0).astype(np.uint8)


def _characters(most: tuple[int, int, float], image: RGB, rng: np.random.Generator) -> RGB:
    """Up to so many words of up to so many letters in up to such a font scale, coloured."""
    words, letters, font_scale = most
    height, width = image.shape[:2]
    scale = _scale(image)
    drawn = image.copy()
    count = 1 + int(words * rng.random())
    for word in rng.spawn(count):
        length = 3 + int((letters - 2) * word.random())
        size = 0.01 * (14 + int((100 * font_scale - 13) * word.random())) * scale
        place = word.random(2)
        colour = tuple(int(v) for v in word.integers(0, 256, 3))
        text = "".join(word.choice(list(string.ascii_lowercase), length))
        left = 10 * scale + place[0] * max(0, width - (8 * length + 10) * scale)
        bottom = 10 * scale + place[1] * max(0, height - 20 * scale)
        where = (round(left), round(bottom))
        thick = max(1, round(scale))
        cv2.putText(drawn, text, where, cv2.FONT_HERSHEY_DUPLEX, size, colour, thick, cv2.LINE_AA)
    return drawn


def _five(change: Callable[..., object], *parameters: object) -> tuple[_Change, ...]:
    return tuple(partial(change, parameter) for parameter in parameters)  # type: ignore[misc]


_CHANGES: dict[str, tuple[_Change, ...]] = {
    "pixelate": _five(_pixelate, 0.7, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": _five(_jpeg, 30, 20, 15, 10, 7),
    "gaussian_noise": _five(_gaussian, 0.04, 0.08, 0.12, 0.18, 0.26),
    "speckle_noise": _five(_speckle, 0.05, 0.15, 0.2, 0.35, 0.45),
    "impulse_noise": _five(_impulse, 0.01, 0.03, 0.06, 0.09, 0.17),
    "shot_noise": _five(_shot, 60, 25, 18, 10, 5),
    "defocus_blur": _five(_defocus, (4, 0.1), (5, 0.2), (6, 0.3), (7, 0.4), (8, 0.5)),
    "motion_blur": _five(_motion, (10, 5), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": _five(_zoom, (1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "brightness_up": _five(_brightness, 1.1, 1.2, 1.3, 1.4, 1.5),
    "brightness_down": _five(_brightness, 0.9, 0.8, 0.7, 0.6, 0.5),
    "contrast_up": _five(_contrast, 1.1, 1.2, 1.3, 1.4, 1.6),
    "contrast_down": _five(_contrast, 0.8, 0.7, 0.6, 0.5, 0.4),
    "black_corner": _five(_black_corner, 1.10, 1.05, 1.00, 0.95, 0.90),
    "characters": _five(
        _characters, (1, 6, 0.14), (2, 7, 0.15), (3, 8, 0.16), (4, 9, 0.17), (6, 10, 0.18)
    ),
}
NAMES: tuple[str, ...] = tuple(_CHANGES)
