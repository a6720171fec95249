import hashlib
import platform
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import image
from dermedge.contract import Input
from dermedge.prepare import prepare

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAKER = runpy.run_path(str(FIXTURES / "make_prepared.py"))
PICTURES, SPECS = MAKER["PICTURES"], MAKER["SPECS"]
X86 = platform.machine() == "x86_64"
# SHA-256 of photographs of isic2017, decoded and prepared at 299 x 299 with the default contract.
REAL = {
    "ISIC_0000000.jpg": "020a76fcf20bb6e80e711bd0ee994738579211740fd9013057afba1c394fc749",
    "ISIC_0000004.jpg": "996777100f23cc53bf97432b51278d0591eaa87dd04736e4e882364ebda82d1f",
    "ISIC_0000006.jpg": "19e99ebf883a40292441d8b5635669ece280a747a82f0f63c31ee8933a334738",
}

specs = st.builds(
    Input,
    height=st.integers(16, 64),
    width=st.integers(16, 64),
    colour=st.sampled_from(["rgb", "bgr"]),
    resize=st.sampled_from(["stretch", "pad", "crop"]),
    interpolation=st.sampled_from(["area", "linear"]),
)
sizes = st.tuples(st.integers(1, 120), st.integers(1, 120))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "prepared.npz", allow_pickle=False) as values:
        return dict(values)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Exact on x86-64; elsewhere OpenCV may round the other way: one grey level."""
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return False
    step = 1 if expected.dtype == np.uint8 else 1.01 / 127.5
    tolerance = 0 if X86 else step
    return bool(np.abs(found.astype(np.float64) - expected).max() <= tolerance)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("spec", SPECS)
def test_prepared_tensors_are_the_golden_ones(golden: dict, picture: str, spec: str):
    assert same(prepare(PICTURES[picture], SPECS[spec]), golden[f"{picture}-{spec}"])


def test_the_golden_file_holds_nothing_else(golden: dict):
    assert set(golden) == {f"{picture}-{spec}" for picture in PICTURES for spec in SPECS}


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("spec", [name for name in SPECS if "-area-" in name])
def test_one_pixel_more_or_less_does_not_pass_for_golden(golden: dict, picture: str, spec: str):
    changed = PICTURES[picture].copy()
    row, column = changed.shape[0] // 2, changed.shape[1] // 2
    changed[row, column] += 128  # the opposite grey level: uint8 wraps around
    assert not same(prepare(changed, SPECS[spec]), golden[f"{picture}-{spec}"])


@pytest.mark.skipif(not X86, reason="hashes are exact on x86-64 only")
@pytest.mark.parametrize("name", REAL)
def test_real_photographs_are_decoded_and_prepared_to_the_bit(real_data: Path, name: str):
    photograph = image.read(real_data / "isic2017" / "images" / name)
    found = prepare(photograph, Input(299, 299))
    assert hashlib.sha256(found.tobytes()).hexdigest() == REAL[name]


@given(size=sizes, spec=specs)
def test_any_picture_becomes_one_contiguous_input_within_its_own_range(
    size: tuple[int, int], spec: Input
):
    pixels = MAKER["picture"](*size) // 2 + 60
    found = prepare(pixels, spec)
    assert found.shape == (1, spec.height, spec.width, 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    # Neither shrinking nor growing overshoots; padding is black.
    assert found.max() <= pixels.max()
    assert set(np.unique(found[found < pixels.min()])) <= {0}
    assert spec.resize == "pad" or found.min() >= pixels.min()


@given(size=sizes, spec=specs)
def test_a_plain_picture_stays_plain(size: tuple[int, int], spec: Input):
    colour = (200, 120, 40) if spec.colour == "rgb" else (40, 120, 200)
    found = prepare(np.full((*size, 3), (200, 120, 40), np.uint8), spec)
    inside = found[0][found[0].any(axis=-1)]
    assert len(inside)
    assert (inside == colour).all()


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_a_picture_of_the_right_size_is_left_alone(resize: str, interpolation: str):
    pixels = MAKER["picture"](40, 30)
    spec = Input(40, 30, resize=resize, interpolation=interpolation)
    np.testing.assert_array_equal(prepare(pixels, spec)[0], pixels)


def test_bgr_is_rgb_backwards():
    pixels = MAKER["picture"](50, 60)
    rgb, bgr = (prepare(pixels, Input(24, 32, colour=colour)) for colour in ("rgb", "bgr"))
    np.testing.assert_array_equal(rgb[..., ::-1], bgr)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 127.5, -1.0), (1 / 255, 0.0), (1.0, -128.0)])
def test_scale_and_offset_give_float32(scale: float, offset: float):
    pixels = MAKER["picture"](50, 60)
    plain = prepare(pixels, Input(24, 32))
    found = prepare(pixels, Input(24, 32, scale=scale, offset=offset))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain * scale + offset, rtol=1e-6, atol=1e-6)


def test_area_shrinking_is_the_mean_of_the_pixels():
    pixels = MAKER["picture"](64, 96)
    blocks = pixels.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    found = prepare(pixels, Input(16, 24))[0]
    assert np.abs(found - blocks).max() <= 0.5


def test_pad_centres_the_whole_photograph_on_black():
    found = prepare(np.full((20, 40, 3), 255, np.uint8), Input(40, 40, resize="pad"))[0]
    np.testing.assert_array_equal(np.flatnonzero(found.any(axis=(1, 2))), np.arange(10, 30))
    assert (found[10:30] == 255).all()


def test_crop_keeps_the_centre():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 255
    assert (prepare(pixels, Input(40, 40, resize="crop")) == 255).all()


def test_a_part_of_a_larger_array_is_prepared_as_itself():
    pixels = MAKER["picture"](80, 80)
    part = pixels[10:60:1, 70:20:-1]
    np.testing.assert_array_equal(
        prepare(part, Input(24, 24)), prepare(np.ascontiguousarray(part), Input(24, 24))
    )
