"""One made-up lesion: its build, drawn by chance for its class, and the maps of its pigment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating]

# By how many standard deviations the two classes' means differ in each trait. The traits are
# independent, so the best possible AUC is Phi(sqrt(sum of squares / 2)) = 0.96: they overlap.
SHIFTS = {
    "asymmetry": 1.0,
    "border": 1.0,
    "colours": 1.0,
    "atypia": 0.9,
    "dots": 0.8,
    "blotch": 0.8,
    "veil": 0.9,
    "breadth": 0.5,
}
_ANGLES = 2048


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion: the first eight traits lean on the class, the others do not.

    All but `stretch` and `seed` run from 0 to 1.

    Attributes:
        asymmetry: Of outline and of pigment about the centre.
        border: Irregularity of the outline.
        colours: Spread of the shades of brown and red.
        atypia: Irregularity of the pigment network.
        dots: Unevenness in size and place of dots and globules.
        blotch: Strength of dark areas without structure.
        veil: Strength of the blue-white veil.
        breadth: 0 small, 1 large.
        depth: Amount of pigment.
        fade: Softness of the edge.
        network: Strength of the pigment network.
        globules: How many dots and globules.
        stretch: Long axis over short axis, from 1 on.
        seed: Entropy of the lesion's own textures.
    """

    asymmetry: float
    border: float
    colours: float
    atypia: float
    dots: float
    blotch: float
    veil: float
    breadth: float
    depth: float
    fade: float
    network: float
    globules: float
    stretch: float
    seed: tuple[int, ...]

    @property
    def radius(self) -> float:
        """Mean radius as a share of the picture's side."""
        return 0.16 + 0.15 * self.breadth


def sample(rng: np.random.Generator, malignant: bool, seed: tuple[int, ...]) -> Lesion:
    """Draw a lesion of one class; `seed` is the entropy of its textures."""
    side = 0.5 if malignant else -0.5
    scores = {name: side * shift + rng.standard_normal() for name, shift in SHIFTS.items()}
    traits = {name: float(1 / (1 + np.exp(-1.6 * score))) for name, score in scores.items()}
    plain = {name: float(rng.random()) for name in ("depth", "fade", "network", "globules")}
    stretch = float(1 + 0.35 * rng.random())
    return Lesion(**traits, **plain, stretch=stretch, seed=seed)


def noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 1) -> Field:
    """Draw smooth noise, float32 (size, size), with mean 0 and a deviation of roughly 1.

    Args:
        rng: Where the chance comes from.
        size: Side in pixels.
        cells: Bumps along a side in the coarsest octave.
        octaves: Each has twice the bumps of the one before and half its height.
    """
    total = np.zeros((cells, cells), np.float32)
    for octave in range(octaves):
        side = cells << octave
        total = cv2.resize(total, (side, side), interpolation=cv2.INTER_CUBIC)
        total += np.float32(1.25 * 0.5**octave) * rng.standard_normal((side, side), np.float32)
    return np.asarray(cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def step(values: Field, low: float | Field, high: float | Field) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high` (Hermite's cubic), float32."""
    t = np.clip((values - low) / (high - low), 0, 1, dtype=np.float32)
    return t * t * (3 - 2 * t)


def maps(lesion: Lesion, size: int) -> Field:
    """Lay the lesion out with its centre in the middle and nothing at the edges.

    Returns:
        float32 (size, size, 3): melanin and blood in optical density, and the veil's share, 0 to 1.
    """
    rng = np.random.default_rng(lesion.seed)
    x, y = _axes(size)
    inside = _outline(lesion, rng, x, y)
    # A border that is irregular is also sharp in one place and soft in the next.
    soft = 0.05 + 0.3 * lesion.fade * np.exp(0.7 * lesion.border * noise(rng, size, 5))
    mask = step(inside, -soft, soft)
    patches = noise(rng, size, 6, 3)
    melanin = _shade(lesion, rng, x, y, inside, patches) * (
        1 + _network(lesion, rng, inside) + 0.1 * noise(rng, size, 56, 2)
    )
    melanin += _globules(lesion, rng, size) + _blotch(lesion, rng, x, y)
    blood = 0.06 + 0.3 * lesion.colours * np.maximum(noise(rng, size, 6, 2), 0)
    haze = noise(rng, size, 5, 3) - 1.6 + 1.7 * lesion.veil
    veil = 0.8 * lesion.veil * step(haze, -0.6, 1.6) * step(inside, 0.0, 0.45)
    # The largest holes of a network still hold some pigment.
    return np.stack([np.maximum(melanin, 0.04) * mask, blood * mask, veil * mask], -1)


def _axes(size: int) -> tuple[Field, Field]:
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = np.meshgrid(line, line)
    return x, y


def _outline(lesion: Lesion, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """How far inside: about 1 at the centre, 0 on the outline, below 0 outside."""
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    reach = np.ones(_ANGLES)
    for k in range(2, 30):
        low = (0.02 + 0.22 * lesion.asymmetry) if k < 5 else 0.0
        high = 0.26 * lesion.border**1.5 if k >= 5 else 0.0
        height = (low / k + high / k**1.1) * rng.standard_normal()
        reach += height * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
    reach = np.clip(reach, 0.55, 1.5).astype(np.float32) * lesion.radius
    stretch = math.sqrt(lesion.stretch)
    distance, angle = cv2.cartToPolar(x / stretch, y * stretch)
    index = (angle * (_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
    inside = 1 - distance / reach[index]
    inside += (0.03 + 0.13 * lesion.border) * noise(rng, len(x), 9, 3)
    # The lesion has to end within its frame, since it is turned and shifted later.
    return inside - 12 * np.maximum(np.maximum(abs(x), abs(y)) - 0.41, 0)


def _shade(
    lesion: Lesion, rng: np.random.Generator, x: Field, y: Field, inside: Field, patches: Field
) -> Field:
    """The body's melanin: darker within, leaning to one side, patchy."""
    turn = rng.uniform(0, 2 * np.pi)
    lean = (math.cos(turn) * x + math.sin(turn) * y) / lesion.radius
    body = 0.55 + 0.3 * np.clip(inside, 0, 1)
    body *= 1 + 0.45 * lesion.asymmetry * np.clip(lean, -1.2, 1.2)
    body *= np.exp((0.06 + 0.42 * lesion.colours) * patches)
    return (0.55 + 1.3 * lesion.depth) * body


def _network(lesion: Lesion, rng: np.random.Generator, inside: Field) -> Field:
    """Dark lines around light holes; atypical ones are uneven in mesh, width and place."""
    size = len(inside)
    pitch = size * rng.uniform(0.0145, 0.019) * (1 + 0.45 * lesion.atypia)
    rows, columns = np.mgrid[-1 : size / pitch / 0.87 + 2, -1 : size / pitch + 2]
    spots = np.stack([columns + 0.5 * (rows % 2), rows * 0.87], -1).reshape(-1, 2)
    spots += (0.1 + 0.22 * lesion.atypia) * rng.standard_normal(spots.shape)
    spots = (spots * pitch).astype(np.int32)
    spots = spots[((spots >= 0) & (spots < size)).all(axis=1)]
    holes = np.full((size, size), 255, np.uint8)
    holes[spots[:, 1], spots[:, 0]] = 0
    away = np.asarray(cv2.distanceTransform(holes, cv2.DIST_L2, 5), np.float32) / pitch
    width = 0.32 - 0.1 * lesion.atypia * noise(rng, size, 6)
    lines = cv2.GaussianBlur(step(away, width, width + 0.25), (0, 0), size / 512)
    place = np.clip(1 + lesion.atypia * (1.1 * noise(rng, size, 4) - 0.2), 0, 1.6)
    rim = 1 - 0.6 * step(inside, 0.2, 0.8)
    return 1.1 * lesion.network * place * rim * (lines - 0.35)


def _globules(lesion: Lesion, rng: np.random.Generator, size: int) -> Field:
    """Melanin of dots and globules: even ones all about, or uneven ones heaped to one side."""
    count = int(70 * max(lesion.globules - 0.25, 0))
    heap = 0.7 * lesion.dots * rng.standard_normal(2)
    places = (heap + (0.62 - 0.2 * lesion.dots) * rng.standard_normal((count, 2))) * lesion.radius
    widths = 0.0055 * np.exp(0.65 * lesion.dots * rng.standard_normal(count))
    layer = np.zeros((size, size), np.uint8)
    for (x, y), width in zip(places, widths, strict=True):
        centre = (int((x + 0.5) * size * 16), int((y + 0.5) * size * 16))
        cv2.circle(layer, centre, int(width * size * 16), 255, -1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), 1.6 * size / 512)
    return soft.astype(np.float32) * (0.9 / 255)


def _blotch(lesion: Lesion, rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Melanin of one or two dark areas that hide what lies beneath."""
    total = np.zeros((len(x), len(x)), np.float32)
    rough = noise(rng, len(x), 10, 2)
    for share in (1.0, 0.7):
        turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6) * lesion.radius
        wide = rng.uniform(0.25, 0.5) * lesion.radius
        away = np.hypot(x - far * math.cos(turn), y - far * math.sin(turn)) / wide
        total += share * (1 - step(away + 0.2 * rough, 0.35, 1.5))
    return 2.6 * lesion.blotch**2.2 * total
