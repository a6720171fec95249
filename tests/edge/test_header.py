"""The size that a file's header tells is the one that OpenCV asks memory for, or none is told."""

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import header, image
from dermedge.errors import ImageError

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
LOSSLESS = (cv2.IMWRITE_WEBP_QUALITY, 101)
LARGE = 100_000  # pixels: more than a damaged test picture may ask memory for

PEAK = """
import sys
from pathlib import Path
from dermedge import image
from dermedge.errors import ImageError

def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if what in x).split()[1]) // 1024

data = Path(sys.argv[1]).read_bytes()
image.decode(Path(sys.argv[2]).read_bytes(), "small")
before = memory("VmHWM")
try:
    image.decode(data, "x", int(sys.argv[3]))
except ImageError as error:
    print(error)
print(memory("VmHWM") - before)
"""


def encoded(ending: str, height: int, width: int, channels: int = 3, *given: int) -> bytes:
    """A picture with something in it, which a header could be mistaken for."""
    pixels = np.random.default_rng(height * width).integers(0, 255, (height, width, channels))
    return cv2.imencode(ending, pixels.astype(np.uint8), given)[1].tobytes()


def decoded(data: bytes) -> tuple[int, int] | None:
    """Width and height of what OpenCV reads, as it lies in the file."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if found is None else found.shape[1::-1]


KINDS = {
    "JPEG": (".jpg", 3),
    "progressive JPEG": (".jpg", 3, *PROGRESSIVE),
    "grey JPEG": (".jpg", 1),
    "JPEG with restart markers": (".jpg", 3, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "PNG": (".png", 3),
    "PNG with alpha": (".png", 4),
    "WebP": (".webp", 3, cv2.IMWRITE_WEBP_QUALITY, 80),
    "WebP with alpha": (".webp", 4, cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless WebP": (".webp", 3, *LOSSLESS),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=20)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_the_size_is_that_of_the_pixels(kind: tuple, height: int, width: int):
    ending, channels, *given = kind
    data = encoded(ending, height, width, channels, *given)
    assert header.size(data) == decoded(data) == (width, height)


def test_the_size_of_a_thumbnail_is_not_that_of_the_photograph():
    thumbnail = encoded(".jpg", 12, 16)
    inside = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    data = encoded(".jpg", 30, 40)
    assert header.size(data[:2] + b"\xff\xff" + inside + data[2:]) == (40, 30)


@pytest.mark.parametrize("ending", [".bmp", ".tif", ".ppm"])
def test_other_formats_tell_none(ending: str):
    assert header.size(encoded(ending, 8, 8)) is None


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_what_moves_tells_none(ending: str):
    if not hasattr(cv2, "Animation"):
        pytest.skip("needs OpenCV 4.11")
    film = cv2.Animation()
    film.frames = [np.full((8, 8, 4), grey, np.uint8) for grey in (10, 90)]
    film.durations = [100, 100]
    data = cv2.imencodeanimation(ending, film)[1].tobytes()
    assert decoded(data) == (8, 8)
    assert header.size(data) is None
    with pytest.raises(ImageError, match="still photograph"):
        image.decode(data, "x", 100)


@pytest.mark.parametrize("bare", [b"\xff\xd0", b"\xff\x01", b"\xff\x00", b"\xff\xd8", b"junk"])
def test_a_second_size_can_not_be_slipped_in(bare: bytes):
    """What libjpeg steps over may hide the true size behind a length that it never reads."""
    data = encoded(".jpg", 30, 40)
    frame = data[data.index(b"\xff\xc0") :][:19]
    false = frame.replace(struct.pack(">HH", 30, 40), struct.pack(">HH", 1, 1))
    hidden = data[:2] + bare + b"\xff\xe1" + struct.pack(">H", 2 + len(false)) + false + data[2:]
    for each in (hidden, data[:2] + bare + data[2:], data[:2] + bare + false + data[2:]):
        assert header.size(each) in (None, decoded(each))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_of_a_file_that_ends_early_nothing_false_is_told(kind: tuple):
    ending, channels, *given = kind
    data = encoded(ending, 9, 13, channels, *given)
    for end in range(len(data)):
        assert header.size(data[:end]) in (None, (13, 9))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=100)
@given(changes=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4))
def test_whatever_is_altered_opencv_reads_no_other_size_than_is_told(
    kind: tuple, changes: list[tuple[int, int]]
):
    ending, channels, *given = kind
    data = bytearray(encoded(ending, 24, 32, channels, *given))
    for place, value in changes:
        data[place % len(data)] = value
    told = header.size(bytes(data))
    if told is not None and told[0] * told[1] <= LARGE:
        assert decoded(bytes(data)) in (None, told)


def test_as_many_pixels_as_are_let_in_and_not_one_more():
    data = encoded(".jpg", 30, 40)
    assert image.decode(data, "x", 1200).shape == (30, 40, 3)
    with pytest.raises(ImageError, match="x: 40 x 30 is more than 0 megapixels; scale it down"):
        image.decode(data, "x", 1199)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_what_is_too_large_is_refused_before_a_pixel_is_asked_for(tmp_path: Path, ending: str):
    large, small = tmp_path / f"large{ending}", tmp_path / f"small{ending}"
    large.write_bytes(cv2.imencode(ending, np.zeros((8000, 8000, 3), np.uint8))[1].tobytes())
    small.write_bytes(encoded(ending, 30, 40))
    command = [sys.executable, "-c", PEAK, str(large), str(small), "51000000"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "x: 8000 x 8000 is more than 51 megapixels; scale it down first"
    assert int(said[1]) < 20  # MiB; its pixels would take 183
