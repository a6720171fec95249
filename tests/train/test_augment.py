"""Augmentation: what it may change, what it must leave, and that chance alone decides."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge.errors import InputError
from dermtrain import artefacts, colours
from dermtrain.augment import Augment, Draw, augment, change, draw
from dermtrain.changes import CHANGES, alone, field
from dermtrain.recipe import parse

NOTHING = Augment(**{f.name: 0 for f in fields(Augment)})
# One probability or strength at a time, at its strongest.
ONE = [replace(NOTHING, **{f.name: getattr(Augment(), f.name) or 32}) for f in fields(Augment)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth, colourful picture without symmetry."""
    coarse = rng(seed).integers(20, 235, (5, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def sorted_pixels(image: np.ndarray) -> np.ndarray:
    return np.sort(image.reshape(-1, 3).view([("", np.uint8)] * 3), axis=0)


@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 2**32))
@settings(max_examples=40)
def test_any_size_keeps_its_shape_and_the_original(height: int, width: int, seed: int) -> None:
    image = pixels(height, width)
    before = image.copy()
    how = replace(Augment(), hair=1, ruler=1, vignette=1, constancy=1)
    changed = augment(image, how, rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert changed.flags["C_CONTIGUOUS"]
    assert (image == before).all()


@given(st.integers(16, 60), st.integers(0, 40), st.integers(0, 2**32))
@settings(max_examples=40)
def test_side_is_what_comes_out(side: int, more: int, seed: int) -> None:
    image = pixels(side + more, side + more // 2)
    assert augment(image, replace(Augment(), side=side), rng(seed)).shape == (side, side, 3)
    cut = augment(image, replace(NOTHING, side=side), rng(seed))
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
    same = (windows == cut.transpose(2, 0, 1)).all(axis=(2, 3, 4))
    assert same.any(), "with zeros alone, the pixels are those of a window of the photograph"


def test_windows_lie_everywhere() -> None:
    image = np.arange(64, dtype=np.uint8)[:, None, None] + np.zeros((64, 64, 3), np.uint8)
    random, how = rng(), replace(NOTHING, side=48)
    tops = [int(augment(image, how, random)[0, 0, 0]) for _ in range(300)]
    assert set(tops) == set(range(17))


def test_side_beyond_the_photograph_is_refused() -> None:
    with pytest.raises(InputError, match="side 224: expected at most 200"):
        augment(pixels(200, 300), replace(NOTHING, side=224), rng())


def test_zeros_change_nothing() -> None:
    image = pixels(61, 47)
    for seed in range(5):
        changed = augment(image, NOTHING, rng(seed))
        assert (changed == image).all()
        assert changed is not image
        assert not np.shares_memory(changed, image)


@pytest.mark.parametrize("how", [Augment(), *ONE], ids=lambda how: str(how)[8:30])
def test_the_same_chance_gives_the_same_pixels(how: Augment) -> None:
    image = pixels(64, 64)
    first = [augment(image, how, random) for random in [rng(3)] for _ in range(4)]
    again = [augment(image, how, random) for random in [rng(3)] for _ in range(4)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_draws_differ() -> None:
    image, random = pixels(64, 64), rng()
    assert len({augment(image, Augment(), random).tobytes() for _ in range(20)}) == 20


@given(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(8, 40), st.integers(8, 40))
def test_flips_and_quarter_turns_only_move_pixels(
    mirror: bool, upside: bool, quarters: int, height: int, width: int
) -> None:
    image = rng().integers(0, 256, (height, width, 3), np.uint8)
    turned = change(image, Draw(mirror=mirror, upside=upside, quarters=quarters), rng())
    assert turned.shape == image.shape
    assert (sorted_pixels(turned) == sorted_pixels(image)).all()
    if quarters == 0:
        assert (turned == image[:: -1 if upside else 1, :: -1 if mirror else 1]).all()


def test_all_eight_ways_to_lay_a_square_are_as_likely() -> None:
    image = rng().integers(0, 256, (8, 8, 3), np.uint8)
    how, random = replace(NOTHING, flip=0.5, quarter=0.75), rng(1)
    _, counts = np.unique(
        [augment(image, how, random).ravel() for _ in range(1600)], axis=0, return_counts=True
    )
    assert len(counts) == 8
    assert counts.min() > 140
    assert counts.max() < 260


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("upside", [False, True])
def test_turning_with_the_warp_is_turning_without_it(
    quarters: int, mirror: bool, upside: bool
) -> None:
    image = pixels(65, 65)
    drawn = Draw(mirror=mirror, upside=upside, quarters=quarters, place=(0.5, -0.25))
    plain = change(image, drawn, rng(), side=49)
    warped = change(image, replace(drawn, angle=1e-7), rng(), side=49)
    assert (plain == warped).all()


def test_rotation_turns_against_the_clock_about_the_middle() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[48:53, 78:83] = 255  # to the right of the middle
    rows, columns = np.nonzero(change(image, Draw(angle=90), rng())[..., 0] > 128)
    assert (rows.mean(), columns.mean()) == pytest.approx((20, 50), abs=0.6)


def test_rotation_leaves_no_black_wedges() -> None:
    image = np.full((80, 80, 3), (200, 150, 130), np.uint8)
    for angle in range(0, 360, 7):
        assert (change(image, Draw(angle=angle, zoom=0.5), rng()) == image).all()


def test_zoom_is_the_growth_of_the_lesion() -> None:
    image = np.full((200, 200, 3), 255, np.uint8)
    cv2.circle(image, (100, 100), 30, (0, 0, 0), -1)
    area = (image < 128).sum()
    for zoom in (0.8, 1.25, 1.5):
        for side in (0, 150):
            dark = (change(image, Draw(zoom=zoom), rng(), side) < 128).sum()
            assert dark / area == pytest.approx(zoom**2, rel=0.04)
    wide = change(image, Draw(stretch=1.2), rng())[..., 0] < 128
    assert wide.any(0).sum() / wide.any(1).sum() == pytest.approx(1.2, rel=0.04)
    assert wide.sum() / (area / 3) == pytest.approx(1, rel=0.04), "the area stays"


def test_strengths_are_never_exceeded() -> None:
    how, random = Augment(rotate=30, zoom_in=0.5, zoom_out=0.25, hue=9, brightness=0.2), rng()
    drawn = [draw(how, random) for _ in range(2000)]
    for values, low, high in (
        ([d.angle for d in drawn], -30, 30),
        ([d.zoom for d in drawn], 1 / 1.25, 1.5),
        ([d.hue for d in drawn], -9, 9),
        ([d.brightness for d in drawn], 0.8, 1.2),
        ([d.stretch for d in drawn], 1 / 1.1, 1.1),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high >= max(values) > high - 0.05 * (high - low)
    assert np.mean([d.hair for d in drawn]) == pytest.approx(how.hair, abs=0.03)


# Colours


def test_minkowski_means_are_those_of_the_formula() -> None:
    image = pixels(40, 50)
    for p in (1.0, 6.0):
        expected = (image.reshape(-1, 3).astype(np.float64) ** p).mean(0) ** (1 / p)
        np.testing.assert_allclose(colours.minkowski(image, p), expected, rtol=1e-6)


@given(st.integers(0, 1000), st.floats(0.5, 1.0), st.floats(0.5, 1.0), st.floats(0.5, 1.0))
@settings(max_examples=30)
def test_shades_of_grey_makes_the_minkowski_means_equal(
    seed: int, red: float, green: float, blue: float
) -> None:
    image = (pixels(48, 48, seed) * np.array([red, green, blue]) * 0.6).astype(np.uint8)
    means = colours.minkowski(colours.shades_of_grey(image))
    assert np.ptp(means) < 1.0  # grey levels; rounding is what is left
    assert np.linalg.norm(means) == pytest.approx(
        np.linalg.norm(colours.minkowski(image)), rel=0.01
    )


def test_shades_of_grey_leaves_white_light_and_what_it_cannot_judge() -> None:
    grey = np.repeat(pixels(30, 30)[..., :1], 3, axis=2)
    assert (colours.shades_of_grey(grey) == grey).all()
    for dark in (np.zeros((9, 9, 3), np.uint8), pixels(9, 9) * np.array([1, 1, 0], np.uint8)):
        assert (colours.shades_of_grey(dark) == dark).all()


def test_saturation_and_hue_keep_the_brightness_and_greys() -> None:
    image = pixels(40, 40) // 2 + 60
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    kinds: tuple[dict[str, Any], ...] = ({"saturation": 0.6}, {"saturation": 1.2}, {"hue": 10})
    for kind in kinds:
        changed = colours.recolour(image, **kind)
        assert abs(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY) - luma).max() <= 2
        grey = image[..., :1].repeat(3, axis=2)
        assert abs(colours.recolour(grey, **kind).astype(int) - grey).max() <= 1
    none = colours.recolour(image, saturation=0)
    assert np.ptp(none.astype(int), axis=2).max() <= 1


def test_contrast_keeps_the_mean_and_brightness_scales_it() -> None:
    image = pixels(40, 40) // 2 + 50
    for contrast in (0.8, 1.2):
        changed = colours.recolour(image, contrast=contrast)
        assert changed.std() / image.std() == pytest.approx(contrast, abs=0.08)
        before, after = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).mean() for i in (image, changed))
        assert after == pytest.approx(before, abs=0.6)
    assert colours.recolour(image, 1.1).mean() == pytest.approx(1.1 * image.mean(), rel=0.01)


# Hair, ruler, vignette


@pytest.mark.parametrize("name", ["hairs", "ruler", "vignette"])
@pytest.mark.parametrize("size", [(299, 299), (96, 128), (45, 40)])
def test_artefacts_cover_a_part_and_leave_the_rest(name: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (222, 170, 150), np.uint8)
    shares = []
    for seed in range(12):
        drawn = getattr(artefacts, name)(image, rng(seed))
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        shares.append((abs(drawn.astype(int) - image).max(axis=2) > 12).mean())
    assert max(shares) > 0.002
    assert np.mean(shares) < {"hairs": 0.2, "ruler": 0.15, "vignette": 0.6}[name]


def test_a_ruler_lies_along_an_edge_and_a_vignette_spares_the_middle() -> None:
    image = np.full((200, 200, 3), (222, 170, 150), np.uint8)
    for seed in range(30):
        ruler = abs(artefacts.ruler(image, rng(seed)).astype(int) - image).max(axis=2) > 12
        assert not ruler[60:140, 60:140].any()
        assert ruler.any()
        vignette = artefacts.vignette(image, rng(seed)).astype(int)
        assert (abs(vignette - image)[80:120, 80:120] <= 1).all()
        corners = vignette[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners < image[0, 0]).all()


# Names and the recipe's table


def test_every_field_is_shown_alone() -> None:
    assert {field(name) for name in CHANGES} == {f.name for f in fields(Augment)}
    image, how = pixels(64, 64), replace(Augment(), side=40)
    for name in CHANGES:
        shown = alone(image, name, how, rng())
        assert shown.shape == ((40, 40, 3) if name == "crop" else image.shape)
        assert name == "crop" or (shown != image).any()


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(InputError, match="no change 'rain'; known: mirrored, upside down"):
        alone(pixels(9, 9), "rain", Augment(), rng())


def test_the_defaults_and_zeros_keep_the_rules() -> None:
    assert all(Augment().rules().values())
    assert all(NOTHING.rules().values())
    assert parse(Augment, {"rotate": 10, "hair": 0.5}, "x") == Augment(rotate=10, hair=0.5)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"flip": 1.5}, "lie in 0 to 1"),
        ({"hair": -0.1}, "lie in 0 to 1"),
        ({"brightness": 1.0}, "lie in 0 to 0.9"),
        ({"rotate": 181.0}, "lie in 0 to 180"),
        ({"zoom_out": -1.0}, "lie in 0 to 3"),
        ({"stretch": 2.0}, "stretch lies in"),
        ({"side": 3}, "side is 0 or at least 16"),
        ({"rain": 1.0}, "unknown keys"),
        ({"side": 1.5}, "expected int"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        parse(Augment, values, "recipe.toml [augment]")
