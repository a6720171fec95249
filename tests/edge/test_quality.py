import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dermedge import quality
from dermedge.contract import Input, QualityLimits
from dermedge.prepare import view

LIMITS = QualityLimits(
    min_side=64, min_sharpness=3.0, min_brightness=40.0, max_brightness=235.0, max_glare=0.1
)
SPEC = Input(256, 256)


def judge(photo: np.ndarray, limits: QualityLimits = LIMITS) -> quality.Quality:
    return quality.judge(photo, view(photo, SPEC), limits)


def measure(photo: np.ndarray, spec: Input = SPEC) -> quality.Figures:
    return quality.measure(photo, view(photo, spec))


def blurred(photo: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(photo, (0, 0), 6)


def glaring(photo: np.ndarray) -> np.ndarray:
    shiny = photo.copy()
    shiny[20:80, 20:80] = 255
    return shiny


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (blurred, "blurred"),
        (lambda photo: photo // 8, "too dark"),
        (lambda photo: 225 + photo // 9, "too bright"),
        (glaring, "glare"),
        (lambda photo: photo[:50], "too small: 50 pixels, at least 64"),
    ],
)
def test_each_fault_is_named_in_words(photo: np.ndarray, change, problem: str):
    found = judge(change(photo))
    assert not found.ok
    assert problem in found.verdict


def test_a_good_photograph_is_ok(photo: np.ndarray):
    found = judge(photo)
    assert (found.ok, found.problems, found.verdict) == (True, (), "ok")


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (63, 64)])
def test_a_tiny_photograph_is_too_small(size: tuple[int, int]):
    found = judge(np.zeros((*size, 3), np.uint8), QualityLimits())
    assert "too small" in found.verdict


def test_several_faults_are_all_named(photo: np.ndarray):
    assert len(judge(blurred(photo[:40]) // 10).problems) == 3


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.sampled_from(["stretch", "pad", "crop"]),
)
def test_figures_stay_in_their_ranges(pixels: np.ndarray, resize: str):
    found = measure(pixels, Input(32, 24, resize=resize))
    assert found.side == min(pixels.shape[:2])
    assert 0 <= found.brightness <= 255
    assert 0 <= found.glare <= 1
    assert found.sharpness >= 0


def test_figures_do_not_depend_on_the_resolution(photo: np.ndarray):
    double = np.repeat(np.repeat(photo, 4, axis=0), 4, axis=1)
    quadruple = np.repeat(np.repeat(photo, 8, axis=0), 8, axis=1)
    first, second = measure(double), measure(quadruple)
    assert second.sharpness == pytest.approx(first.sharpness, rel=0.02)
    assert second.brightness == pytest.approx(first.brightness, rel=0.01)


def test_the_black_that_padding_adds_does_not_count(photo: np.ndarray):
    height, width = photo.shape[:2]
    alone = measure(photo, Input(height, width))
    padded = measure(photo, Input(width, width, resize="pad"))
    assert padded == alone


def test_what_the_model_does_not_see_does_not_count(photo: np.ndarray):
    height, width = photo.shape[:2]
    framed = np.zeros((height, 3 * width, 3), np.uint8)
    framed[:, width : 2 * width] = photo
    spec = Input(height, width, resize="crop")
    assert measure(framed, spec) == measure(photo, spec)
    assert measure(framed, Input(height, width)).brightness < measure(photo, spec).brightness / 2


figures = st.builds(
    quality.Figures,
    side=st.integers(64, 4000),
    sharpness=st.floats(1, 100),
    brightness=st.floats(1, 254),
    glare=st.floats(0, 1),
)


@given(st.lists(figures, min_size=1, max_size=20))
def test_limits_from_photographs_let_typical_ones_pass(seen: list[quality.Figures]):
    limits = quality.limits_from(seen)
    assert 0 <= limits.min_brightness <= limits.max_brightness <= 255
    assert 0 <= limits.max_glare <= 1
    middle = np.median([(f.sharpness, f.brightness, f.glare) for f in seen], axis=0)
    assert middle[0] >= limits.min_sharpness
    assert limits.min_brightness <= middle[1] <= limits.max_brightness
    assert middle[2] <= limits.max_glare
