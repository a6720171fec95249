"""One made-up photograph: a lesion in skin, under hair and gel, through a dermatoscope."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dermedge.image import RGB
from dermtrain.lesion import Field, Lesion, maps, noise, step

# Optical density of one unit of pigment in red, green and blue, matched by eye to photographs:
# brown takes blue most, blood takes green most.
_MELANIN, _BLOOD = (0.40, 0.72, 1.10), (0.10, 0.62, 0.52)
_BARE, _FLOOR, _VEIL = (0.95, 0.86, 0.81), (0.045, 0.03, 0.03), (0.62, 0.65, 0.72)


@dataclass(frozen=True, slots=True)
class Skin:
    """A patient's skin; nothing in it knows the class.

    Attributes:
        melanin: Optical density of the tone: 0 very light, 1.3 very dark.
        blood: Optical density of the flush.
        vessels: How far small vessels show, 0 to 1.
        freckles: How many freckles, 0 to 1.
        hairs: Hairs in a photograph, on average.
        hair: Colour of the hairs, RGB, 0 to 1.
        seed: Entropy of the skin's own textures.
    """

    melanin: float
    blood: float
    vessels: float
    freckles: float
    hairs: float
    hair: tuple[float, float, float]
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """How one photograph was taken; nothing in it knows the class.

    Attributes:
        turn: Of the lesion, in degrees.
        zoom: 1 leaves the lesion as it is.
        shift: Of the lesion to the right and down, as a share of the side.
        gain: Of red, green and blue.
        slant: Fall of the light to the right and down.
        tube: Radius at which the picture turns dark, in half sides; 1.5 lies beyond the corners.
        edge: Width of that fall, in half sides.
        bubbles: How many bubbles in the gel.
        glints: How many small reflections.
        blur: In pixels of a 512-pixel side.
        grain: Deviation of the sensor's noise, in grey levels.
        seed: Entropy of hair, gel and grain.
    """

    turn: float
    zoom: float
    shift: tuple[float, float]
    gain: tuple[float, float, float]
    slant: tuple[float, float]
    tube: float
    edge: float
    bubbles: int
    glints: int
    blur: float
    grain: float
    seed: tuple[int, ...]


def sample_skin(rng: np.random.Generator, seed: tuple[int, ...]) -> Skin:
    """Draw a patient's skin; `seed` is the entropy of its textures."""
    melanin = float(1.3 * rng.beta(1.0, 2.2))
    dark = float(rng.uniform(0, 1) if melanin < 0.4 else rng.uniform(0.8, 1))
    return Skin(
        melanin=melanin,
        blood=float(rng.uniform(0.02, 0.24)),
        vessels=float(rng.beta(0.7, 2.5)),
        freckles=float(rng.beta(0.5, 3.0)),
        hairs=float(rng.choice([0, 0.5, 4, 12], p=[0.3, 0.3, 0.25, 0.15])),
        hair=(0.5 - 0.38 * dark, 0.37 - 0.28 * dark, 0.24 - 0.17 * dark),
        seed=seed,
    )


def sample_view(rng: np.random.Generator, seed: tuple[int, ...]) -> View:
    """Draw how a photograph is taken; `seed` is the entropy of hair, gel and grain."""
    tube, edge = [(1.5, 0.1), (1.36, 0.6), (1.16, 0.06)][rng.choice(3, p=[0.55, 0.33, 0.12])]
    gains = rng.uniform(0.86, 1.06) * np.exp(rng.normal(0, [0.03, 0.015, 0.045]))
    return View(
        turn=float(rng.uniform(0, 360)),
        zoom=float(rng.uniform(0.85, 1.2)),
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03))),
        gain=tuple(gains.tolist()),
        slant=(float(rng.normal(0, 0.05)), float(rng.normal(0, 0.05))),
        tube=float(tube * rng.uniform(0.97, 1.05)),
        edge=edge,
        bubbles=int(rng.poisson(rng.choice([0, 4], p=[0.65, 0.35]))),
        glints=int(rng.poisson(rng.choice([0, 12], p=[0.6, 0.4]))),
        blur=float(rng.uniform(0.35, 0.9)),
        grain=float(rng.uniform(1, 3)),
        seed=seed,
    )


def draw_lesion(lesion: Lesion, skin: Skin, view: View, size: int = 512) -> RGB:
    """Draw a photograph of a lesion; see `draw_pigment`."""
    return draw_pigment(maps(lesion, size), skin, view)


def draw_pigment(pigment: Field, skin: Skin, view: View) -> RGB:
    """Draw a photograph; the same arguments always give the same pixels.

    Args:
        pigment: As `lesion.maps` lays it out, (size, size, 3).
        skin: Around and beneath it.
        view: How the photograph is taken.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    size = len(pigment)
    pigment = _placed(pigment, view)
    melanin, blood = _skin(skin, size)
    melanin += pigment[..., 0]
    blood += pigment[..., 1]
    colour = _lit(melanin, blood, pigment[..., 2])
    rng = np.random.default_rng(view.seed)
    colour = _hairs(colour, skin, rng)
    colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), view.blur * size / 512), np.float32)
    colour = _gel(colour, view, rng)
    colour *= _light(view, size)
    colour += noise(rng, size, size, 1)[..., None] * (view.grain / 255 / 1.25)
    return np.asarray(cv2.convertScaleAbs(np.maximum(colour, 0), alpha=255), np.uint8)


def _placed(pigment: Field, view: View) -> Field:
    size = len(pigment)
    middle = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), view.turn, view.zoom)
    matrix[:, 2] += np.multiply(view.shift, size)
    placed = cv2.warpAffine(pigment, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(placed, np.float32)


def _skin(skin: Skin, size: int) -> tuple[Field, Field]:
    """Melanin and blood of the bare skin, in optical density."""
    rng = np.random.default_rng(skin.seed)
    texture = 0.03 * noise(rng, size, 100, 2) + 0.05 * noise(rng, size, 5, 4)
    # Fine lines cross the skin where a noise passes through zero.
    lines = np.exp(-((noise(rng, size, 44, 2) / 0.3) ** 2)) - 0.3
    melanin = (skin.melanin + 0.06) * (1 + texture - 0.05 * lines) + 0.5 * texture - 0.02 * lines
    spots = step(noise(rng, size, 20, 3), 1.2 - 0.6 * skin.freckles, 4.0 - 0.6 * skin.freckles)
    melanin += 0.5 * skin.freckles * spots
    vessels = np.exp(-((noise(rng, size, 8, 3) / 0.07) ** 2)) * step(noise(rng, size, 4), -0.3, 1.2)
    blood = skin.blood * (1 + 0.22 * noise(rng, size, 6, 3)) + 0.3 * skin.vessels * vessels
    return np.maximum(melanin, 0), np.maximum(blood, 0)


def _lit(melanin: Field, blood: Field, veil: Field) -> Field:
    """The light that comes back, by Beer and Lambert's law; float32 RGB, 0 to 1."""
    channels = []
    for k in range(3):
        back = cv2.exp(melanin * -_MELANIN[k] - blood * _BLOOD[k]) * _BARE[k]
        back += _FLOOR[k]
        # The veil is a milky haze over pigment that lies deep, so some of what is below shows.
        channels.append(back + veil * (_VEIL[k] * (0.55 + 0.45 * back) - back))
    return np.asarray(cv2.merge(channels), np.float32)


def _hairs(colour: Field, skin: Skin, rng: np.random.Generator) -> Field:
    """Lay hairs over the picture, float32 RGB in and out; they roughly share one direction."""
    size = len(colour)
    layer = np.zeros((size, size), np.uint8)
    lie = rng.uniform(0, 2 * np.pi)
    t = np.linspace(0, 1, 24)[:, None]
    for _ in range(rng.poisson(skin.hairs)):
        turn, bend = lie + rng.normal(0, 0.5), rng.normal(0, 0.16)
        along = np.array([np.cos(turn), np.sin(turn)]) * rng.uniform(0.35, 1.3)
        start = rng.uniform(0, 1, 2) - along / 2
        across = np.array([-along[1], along[0]])
        path = start + t * along + (bend * 4 * t * (1 - t) + 0.05 * bend * np.sin(7 * t)) * across
        points = (path * size * 16).astype(np.int32)[:, None]
        width = max(1, round(rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1]) * size / 512))
        cv2.polylines(layer, [points], False, int(rng.integers(110, 230)), width, cv2.LINE_AA, 4)
    if not layer.any():
        return colour
    cover = cv2.GaussianBlur(layer, (0, 0), 0.6).astype(np.float32)[..., None] / 255
    return colour + cover * (np.array(skin.hair, np.float32) - colour)


def _gel(colour: Field, view: View, rng: np.random.Generator) -> Field:
    """Add bubbles and small reflections to a float32 RGB picture."""
    size = len(colour)
    bright = np.zeros((size, size), np.uint8)
    for _ in range(view.bubbles):
        x, y = (int(v) for v in rng.uniform(0, size * 16, 2))
        radius = int(size * 16 * 0.006 * np.exp(rng.normal(0.5, 0.5)))
        cv2.circle(bright, (x, y), radius, 70, max(1, size // 300), cv2.LINE_AA, 4)
        spot = (x - radius // 3, y - radius // 3)
        cv2.circle(bright, spot, radius // 4, 220, -1, cv2.LINE_AA, 4)
    heap = rng.uniform(0.1, 0.9, 2)
    for _ in range(view.glints):
        x, y = (int(v) for v in (heap + rng.normal(0, 0.1, 2)) * size * 16)
        axes = tuple(int(v) for v in size * 16 * rng.uniform([0.002, 0.001], [0.008, 0.003]))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(bright, (x, y), axes, turn, 0, 360, int(rng.integers(90, 240)), -1, 16, 4)
    if not bright.any():
        return colour
    cover = cv2.GaussianBlur(bright, (0, 0), 0.8 * size / 512).astype(np.float32)[..., None] / 255
    return colour + cover * (1 - colour) * 0.9


def _light(view: View, size: int) -> Field:
    """What the lamp and the tube make of a white card: float32 (size, size, 3)."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(line, line)
    fall = 1 + view.slant[0] * x + view.slant[1] * y
    tube = 1 - 0.93 * step(np.hypot(x, y), view.tube - view.edge / 2, view.tube + view.edge / 2)
    return (fall * tube)[..., None] * np.array(view.gain, np.float32)
