"""Seven made-up looks under the names of ISIC 2018's task 3: what sets each class apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dermtrain.lesion import Field, Lesion, maps, noise, sample, step


@dataclass(frozen=True, slots=True)
class Kind:
    """One class.

    Attributes:
        share: Of the lesions of a set.
        irregular: Whether outline and structure lean as those of the malignant class of two.
        look: Changes the pigment (melanin, blood, veil) of a lesion within its mask, in place.
    """

    share: float
    irregular: bool
    look: Callable[[Field, Field, Lesion, np.random.Generator], None] | None


def draw_kind(name: str, rng: np.random.Generator, seed: tuple[int, ...]) -> Lesion:
    """Draw a lesion of one class; `seed` is the entropy of its textures."""
    lesion = sample(rng, KINDS[name].irregular, seed)
    if name == "BKL":  # stuck on: a sharp edge
        return replace(lesion, fade=0.2 * lesion.fade, network=0.2 * lesion.network)
    if name in ("BCC", "AKIEC", "VASC"):
        return replace(lesion, network=0.1 * lesion.network, globules=0.0)
    return lesion


def maps_of_kind(name: str, lesion: Lesion, size: int) -> Field:
    """`lesion.maps` with the look of the class, more or less of it: the classes overlap.

    Returns:
        float32 (size, size, 3): melanin and blood in optical density, and the veil's share.
    """
    plain = maps(lesion, size)
    look = KINDS[name].look
    if look is None:
        return plain
    rng = np.random.default_rng((*lesion.seed, 7))
    strength = np.float32(0.25 + 0.75 * rng.beta(2.0, 1.2))
    soft = np.asarray(cv2.GaussianBlur(plain[..., 0], (0, 0), size / 80), np.float32)
    mask = step(soft, 0.04, 0.4)
    changed = plain.copy()
    look(changed, mask, lesion, rng)
    return np.maximum(plain + strength * (changed - plain), 0)


def _basal(pigment: Field, mask: Field, lesion: Lesion, rng: np.random.Generator) -> None:
    """Pale and pink, with thick branching vessels and a few blue-grey nests."""
    pigment[..., 0] *= 0.12
    pigment[..., 1] = (0.22 + 0.5 * _vessels(len(mask), lesion, rng)) * mask
    nests = _discs(len(mask), lesion, rng, 5, 0.2) * mask
    pigment[..., 0] += 1.3 * nests
    pigment[..., 2] = 0.45 * nests


def _actinic(pigment: Field, mask: Field, lesion: Lesion, rng: np.random.Generator) -> None:
    """Red between pale follicles, with patches of white scale."""
    size = len(mask)
    pigment[..., 0] *= 0.12
    follicles = _discs(size, lesion, rng, 60, 0.07)
    pigment[..., 1] = 0.95 * mask * (1 - 0.8 * follicles)
    pigment[..., 2] = 0.6 * mask * step(noise(rng, size, 14, 3), 0.4, 1.3)


def _keratosis(pigment: Field, mask: Field, lesion: Lesion, rng: np.random.Generator) -> None:
    """Even brown with bright cysts and dark plugs."""
    size = len(mask)
    pigment[..., 0] = 0.5 * pigment[..., 0] + 0.55 * mask
    cysts, plugs = (_discs(size, lesion, rng, n, 0.05) * mask for n in (25, 18))
    pigment[..., 0] = pigment[..., 0] * (1 - 0.9 * cysts) + 1.8 * plugs
    pigment[..., 2] = 0.55 * cysts


def _fibroma(pigment: Field, mask: Field, lesion: Lesion, rng: np.random.Generator) -> None:
    """A white scar in the middle of a thin brown rim."""
    size = len(mask)
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    away = np.hypot(*np.meshgrid(line, line)) / lesion.radius
    scar = 1 - step(away + 0.12 * noise(rng, size, 7, 2), 0.3, 0.75)
    pigment[..., 0] *= (1 - 0.92 * scar) * 0.6
    pigment[..., 1] = 0.18 * mask
    pigment[..., 2] = 0.5 * scar * mask


def _vascular(pigment: Field, mask: Field, lesion: Lesion, rng: np.random.Generator) -> None:
    """Red and purple lagoons side by side."""
    size = len(mask)
    pigment[..., 0] *= 0.1
    red, purple = (_discs(size, lesion, rng, n, 0.3) * mask for n in (16, 6))
    pigment[..., 0] += 0.9 * purple
    pigment[..., 1] = 0.35 * mask + 1.7 * red + 1.4 * purple
    pigment[..., 2] = 0.0


def _discs(size: int, lesion: Lesion, rng: np.random.Generator, count: int, width: float) -> Field:
    """Soft discs strewn over the lesion, 0 to 1; `width` is their radius as a share of its own."""
    layer = np.zeros((size, size), np.uint8)
    turns = rng.uniform(0, 2 * np.pi, count)
    far = lesion.radius * np.sqrt(rng.uniform(0, 0.9, count))
    for turn, away, own in zip(turns, far, rng.uniform(0.6, 1.2, count), strict=True):
        x, y = 0.5 + away * np.cos(turn), 0.5 + away * np.sin(turn)
        centre = (int(x * size * 16), int(y * size * 16))
        reach = max(8, int(own * width * lesion.radius * size * 16))
        cv2.circle(layer, centre, reach, 255, -1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), max(0.5, 2 * size / 512))
    return soft.astype(np.float32) / 255


def _vessels(size: int, lesion: Lesion, rng: np.random.Generator) -> Field:
    """A few trees of vessels from the rim inwards, thinner at each fork; 0 to about 2."""
    layer = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(2, 5))):
        turn = rng.uniform(0, 2 * np.pi)
        start = 0.5 + lesion.radius * np.array([np.cos(turn), np.sin(turn)])
        twigs = [(start, turn + np.pi, 5.0)]
        for _ in range(14):
            at, way, width = twigs.pop(0)
            way += rng.normal(0, 0.25)
            end = at + 0.3 * lesion.radius * np.array([np.cos(way), np.sin(way)])
            ends = [tuple((p * size * 16).astype(int).tolist()) for p in (at, end)]
            thick = max(1, round(width * size / 512))
            cv2.line(layer, ends[0], ends[1], 255, thick, cv2.LINE_AA, 4)
            twigs += [(end, way + side, 0.75 * width) for side in (-0.5, 0.5)]
    return cv2.GaussianBlur(layer, (0, 0), size / 512).astype(np.float32) * (2 / 255)


# Names and order of ISIC 2018's task 3 and HAM10000. The shares keep nevi in front and the rare
# rare, but leave a small set some of each. Malignant here is what the made-up set states: MEL, BCC
# and AKIEC (actinic keratosis and Bowen's disease: not yet invasive, but to be seen by a doctor).
KINDS = {
    "MEL": Kind(0.16, True, None),
    "NV": Kind(0.34, False, None),
    "BCC": Kind(0.12, False, _basal),
    "AKIEC": Kind(0.10, True, _actinic),
    "BKL": Kind(0.16, False, _keratosis),
    "DF": Kind(0.06, False, _fibroma),
    "VASC": Kind(0.06, False, _vascular),
}
POSITIVE = ("MEL", "BCC", "AKIEC")
