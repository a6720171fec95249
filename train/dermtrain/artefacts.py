"""What lies over a lesion in photographs: hairs, a ruler's ticks, a dermatoscope's dark rim."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.image import RGB
from dermtrain.lesion import step

_Mask = npt.NDArray[np.uint8]
_Colour = tuple[int, int, int]

# Root colours, RGB: black, dark brown, brown, grey, fair.
_HAIRS: tuple[_Colour, ...] = (
    *((28, 24, 24), (48, 34, 28), (84, 58, 42)),
    *((150, 146, 142), (196, 168, 130)),
)
_FINE = 3  # hairs are drawn so many times larger, then averaged: OpenCV knows whole pixels only


def hairs(image: RGB, random: np.random.Generator) -> RGB:
    """Lay 2 to 25 hairs over the picture, uint8 (height, width, 3) RGB in and out.

    They share a colour and roughly a direction, bend, differ in thickness, and end in a tip.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    cover = np.zeros((height * _FINE, width * _FINE), np.uint8)
    lie = random.uniform(0, 2 * math.pi)
    thick = side * _FINE * random.uniform(0.0025, 0.0065)
    for _ in range(int(2 + 24 * random.random() ** 2)):
        length = side * _FINE * random.uniform(0.3, 1.3)
        middle = random.uniform(0, 1, 2) * (cover.shape[1], cover.shape[0])
        outline = _hair(random, middle, lie + random.normal(0, 0.45), length, thick)
        shade = int(random.uniform(130, 250))
        cv2.fillPoly(cover, [outline], shade)
    small = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
    colour = _HAIRS[random.choice(len(_HAIRS), p=[0.25, 0.3, 0.2, 0.1, 0.15])]
    return _over(image, np.asarray(small, np.uint8), colour)


def _hair(
    random: np.random.Generator,
    middle: npt.NDArray[np.float64],
    lie: float,
    length: float,
    thick: float,
) -> npt.NDArray[np.int32]:
    """The outline of one hair, int32 (points, 1, 2)."""
    t = np.linspace(-0.5, 0.5, 18)
    # The direction changes along the hair: a bend, and a slight wave on top of it.
    wave = random.normal(0, 0.12) * np.sin(2 * math.pi * (t * random.uniform(0.6, 1.6) + 0.3))
    turn = lie + random.normal(0, 0.8) * t + wave
    steps = np.stack([np.cos(turn), np.sin(turn)], -1) * (length / len(t))
    path = np.cumsum(steps, axis=0)
    path += middle - path[len(path) // 2]
    taper = np.minimum(1, 1.8 * (0.5 - t) ** 0.7 + 0.15)
    half = thick * random.uniform(0.5, 1.2) * taper / 2
    across = np.stack([-np.sin(turn), np.cos(turn)], -1) * half[:, None]
    outline = np.concatenate([path + across, (path - across)[::-1]])
    return np.rint(outline).astype(np.int32)[:, None]


def ruler(image: RGB, random: np.random.Generator) -> RGB:
    """Print a scale along an edge, uint8 (height, width, 3) RGB in and out.

    A tick a millimetre, a longer one every five, a number every ten, as contact plates and
    paper rulers have them; slightly askew.
    """
    height, width = image.shape[:2]
    edge = int(random.integers(4))
    along, depth = (width, height) if edge % 2 == 0 else (height, width)
    strip = _scale(along, depth, random)
    scale = np.asarray(np.rot90(strip, edge))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.normal(0, 3), 1)
    cover = cv2.warpAffine(np.ascontiguousarray(scale), turn, (width, height))
    return _over(image, np.asarray(cover, np.uint8), _shade(random))


def _shade(random: np.random.Generator) -> _Colour:
    dark = int(random.integers(10, 60))
    return dark, dark, dark + 4


def _scale(along: int, depth: int, random: np.random.Generator) -> _Mask:
    """How much of each pixel a scale at the lower edge covers, uint8 (depth, along)."""
    cover = np.zeros((depth, along), np.uint8)
    side = min(along, depth)
    pitch = side * random.uniform(0.03, 0.075)
    base = depth - side * random.uniform(0.0, 0.08)
    size = side * random.uniform(0.025, 0.045)
    thick = max(1, round(side * random.uniform(0.003, 0.006)))
    strong = int(random.uniform(140, 235))
    first = int(random.integers(0, 10))
    start = random.uniform(-1, 0) * pitch
    if random.random() < 0.4:
        ends = ((0, round(base * 16)), (along * 16, round(base * 16)))
        cv2.line(cover, *ends, strong, thick, cv2.LINE_AA, 4)
    for number in range(math.ceil(along / pitch) + 2):
        mark = first + number
        x = start + number * pitch
        long = size * (2.0 if mark % 10 == 0 else 1.5 if mark % 5 == 0 else 1.0)
        ends = ((round(x * 16), round(base * 16)), (round(x * 16), round((base - long) * 16)))
        cv2.line(cover, *ends, strong, thick, cv2.LINE_AA, 4)
        if mark % 10 == 0:
            place = (round(x + 0.3 * size), round(base - 1.5 * long))
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(cover, str(mark), place, font, side / 700, strong, thick, cv2.LINE_AA)
    return cover


def vignette(image: RGB, random: np.random.Generator) -> RGB:
    """Darken beyond a circle, uint8 (height, width, 3) RGB in and out: a dermatoscope's tube.

    A hard rim near the edges, or light that falls off slowly towards the corners.
    """
    height, width = image.shape[:2]
    half = min(height, width) / 2
    hard = random.random() < 0.5
    rim = random.uniform(0.98, 1.3) if hard else random.uniform(1.2, 1.5)
    soft = random.uniform(0.02, 0.1) if hard else random.uniform(0.6, 1.0)
    dark = random.uniform(0.85, 1.0) if hard else random.uniform(0.4, 0.85)
    x, y = random.normal(0, 0.03, 2)
    columns = ((np.arange(width) - width / 2) / half - x).astype(np.float32)
    rows = ((np.arange(height) - height / 2) / half - y).astype(np.float32)
    away = cv2.sqrt(columns**2 + (rows**2)[:, None])
    cover = cv2.convertScaleAbs(
        step(np.asarray(away, np.float32), rim - soft, rim), alpha=255 * dark
    )
    return _over(image, np.asarray(cover, np.uint8), (8, 6, 6))


def _over(image: RGB, cover: _Mask, colour: _Colour) -> RGB:
    """Paint `colour` over the picture where `cover` (255: wholly) says so."""
    paint = cv2.merge([np.full_like(cover, value) for value in colour])
    share = cover * np.float32(1 / 255)
    return np.asarray(cv2.blendLinear(image, paint, 1 - share, share), np.uint8)
