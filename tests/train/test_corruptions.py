"""Corruptions: the published list, worse with every severity, the same for the same seed."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage

from dermedge.errors import InputError
from dermtrain import dermoscope, lesion
from dermtrain.corruptions import NAMES, SEVERITIES, corrupt

# The others give the same picture for every seed.
BY_CHANCE = {"gaussian_noise", "speckle_noise", "impulse_noise", "shot_noise"}
BY_CHANCE |= {"motion_blur", "characters"}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A made-up dermoscopy picture of the size for which the parameters were published."""
    rng = np.random.default_rng(4)
    skin, view = dermoscope.sample_skin(rng, (1,)), dermoscope.sample_view(rng, (2,))
    drawn = dermoscope.draw_lesion(lesion.sample(rng, True, (3,)), skin, view, 448)
    return np.asarray(cv2.resize(drawn, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)


def off(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_the_list_is_that_of_medmnist_c() -> None:
    assert set(NAMES) == {
        *("pixelate", "jpeg_compression", "gaussian_noise", "speckle_noise", "impulse_noise"),
        *("shot_noise", "defocus_blur", "motion_blur", "zoom_blur", "brightness_up"),
        *("brightness_down", "contrast_up", "contrast_down", "black_corner", "characters"),
    }
    assert len(NAMES) == 15
    assert SEVERITIES == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_severity_is_worse_than_the_one_before(name: str, picture: np.ndarray) -> None:
    seeds = range(12) if name == "characters" else range(2)
    far = [np.mean([off(corrupt(picture, name, s, k), picture) for k in seeds]) for s in SEVERITIES]
    # Motion blurs of radius 10 and 15 differ only where a Gaussian of 5 has all but ended.
    assert all(b > a * (0.99 if name == "motion_blur" else 1) for a, b in pairwise(far))
    assert far[-1] > (0.01 if name == "characters" else 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides(name: str, picture: np.ndarray) -> None:
    before = picture.copy()
    one, again, other = (corrupt(picture, name, 5, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one == other).all() == (name not in BY_CHANCE)
    assert (picture == before).all()


@given(st.integers(4, 70), st.integers(4, 70), st.sampled_from(NAMES), st.sampled_from(SEVERITIES))
@settings(max_examples=120)
def test_any_size_keeps_its_shape(height: int, width: int, name: str, severity: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    spoilt = corrupt(image, name, severity, 0)
    assert spoilt.shape == image.shape
    assert spoilt.dtype == np.uint8
    assert spoilt.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("name", ["pixelate", "defocus_blur", "motion_blur", "zoom_blur"])
def test_lengths_grow_with_the_picture(name: str, picture: np.ndarray) -> None:
    larger = np.asarray(cv2.resize(picture, (448, 448), interpolation=cv2.INTER_CUBIC), np.uint8)
    spoilt = cv2.resize(corrupt(larger, name, 4, 0), (224, 224), interpolation=cv2.INTER_AREA)
    here = corrupt(picture, name, 4, 0)
    assert off(spoilt, here) < 0.25 * off(here, picture)


def test_pixelate_and_jpeg_and_brightness_and_contrast_are_pillows(picture: np.ndarray) -> None:
    photo = Image.fromarray(picture)
    for severity, share in enumerate((0.7, 0.5, 0.4, 0.3, 0.25), 1):
        small = photo.resize((int(224 * share), int(224 * share)), Image.Resampling.BOX)
        back = small.resize((224, 224), Image.Resampling.BOX)
        assert off(corrupt(picture, "pixelate", severity, 0), np.asarray(back)) < 0.8
    for severity, quality in enumerate((30, 20, 15, 10, 7), 1):
        data = BytesIO()
        photo.save(data, "JPEG", quality=quality)
        assert (
            off(corrupt(picture, "jpeg_compression", severity, 0), np.asarray(Image.open(data)))
            < 0.8
        )
    for name, kind, factors in (
        ("brightness_up", ImageEnhance.Brightness, (1.1, 1.2, 1.3, 1.4, 1.5)),
        ("brightness_down", ImageEnhance.Brightness, (0.9, 0.8, 0.7, 0.6, 0.5)),
        ("contrast_up", ImageEnhance.Contrast, (1.1, 1.2, 1.3, 1.4, 1.6)),
        ("contrast_down", ImageEnhance.Contrast, (0.8, 0.7, 0.6, 0.5, 0.4)),
    ):
        for severity, factor in enumerate(factors, 1):
            theirs = np.asarray(kind(photo).enhance(factor)).astype(int)
            assert abs(corrupt(picture, name, severity, 0) - theirs).max() <= 1


def test_noise_has_the_published_strength() -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    for severity, deviation in enumerate((0.04, 0.08, 0.12), 1):
        spoilt = corrupt(grey, "gaussian_noise", severity, 0)
        assert spoilt.std() == pytest.approx(255 * deviation, rel=0.02)
    for severity, deviation in enumerate((0.05, 0.15, 0.2), 1):
        spoilt = corrupt(grey, "speckle_noise", severity, 0)
        assert spoilt.std() == pytest.approx(128 * deviation, rel=0.02)
    for severity, amount in enumerate((0.01, 0.03, 0.06, 0.09, 0.17), 1):
        spoilt = corrupt(grey, "impulse_noise", severity, 0)
        assert (spoilt != 128).mean() == pytest.approx(amount, rel=0.08)
        assert (spoilt == 255).mean() == pytest.approx(amount / 2, rel=0.12)
        assert set(np.unique(spoilt)) == {0, 128, 255}
    for severity, photons in enumerate((60, 25, 18), 1):
        spoilt = corrupt(grey, "shot_noise", severity, 0)
        expected = 255 * np.sqrt(photons * 128 / 255) / photons
        assert spoilt.std() == pytest.approx(expected, rel=0.03)


def test_zoom_blur_is_the_mean_of_enlarged_pictures(picture: np.ndarray) -> None:
    """Against SciPy's spline zoom, which the original uses."""
    zooms = np.arange(1, 1.31, 0.03)
    total = picture.astype(float)
    for zoom in zooms:
        side = int(np.ceil(224 / zoom))
        top = (224 - side) // 2
        part = picture[top : top + side, top : top + side].astype(float)
        large = np.asarray(ndimage.zoom(part, (zoom, zoom, 1), order=1))
        trim = (len(large) - 224) // 2
        total += large[trim : trim + 224, trim : trim + 224]
    theirs = total / (len(zooms) + 1)
    ours = corrupt(picture, "zoom_blur", 5, 0)
    assert off(ours, theirs) < 0.2 * off(theirs, picture)


def test_blurs_spread_a_point_as_published() -> None:
    image = np.zeros((224, 224, 3), np.uint8)
    image[111:114, 111:114] = 255
    disc = corrupt(image, "defocus_blur", 5, 0)[..., 0] > 0
    rows, columns = np.nonzero(disc)
    assert np.ptp(rows) == pytest.approx(2 * (8 + 1), abs=1)
    assert np.ptp(columns) == pytest.approx(2 * (8 + 1), abs=1)
    for seed in range(8):
        rows, columns = np.nonzero(corrupt(image, "motion_blur", 5, seed)[..., 0] > 1)
        assert np.ptp(columns) >= 0.9 * np.ptp(rows), "within 45 degrees of level"
        assert 20 < np.hypot(np.ptp(rows), np.ptp(columns)) <= 2 * 20 + 4


def test_corners_turn_black_and_the_middle_stays(picture: np.ndarray) -> None:
    spoilt = corrupt(picture, "black_corner", 5, 0)
    assert (spoilt[50:170, 50:170] == picture[50:170, 50:170]).all()
    assert (spoilt[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()


def test_unknown_names_and_severities_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="no corruption 'rain'; known: pixelate, jpeg"):
        corrupt(picture, "rain", 1, 0)
    for severity in (0, 6, -1):
        with pytest.raises(InputError, match="severity of pixelate: expected 1 to 5"):
            corrupt(picture, "pixelate", severity, 0)
