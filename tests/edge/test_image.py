import io
import os
import struct
import subprocess
import sys
import zlib
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dermedge import image
from dermedge.errors import ImageError

RED, WHITE = (200, 40, 30), (255, 255, 255)
CORNERS = {
    "top left": (4, 4),
    "top right": (4, -5),
    "bottom left": (-5, 4),
    "bottom right": (-5, -5),
}
# Where the upright photograph has the corner that lies top left in the file (EXIF 2.3, table 6).
UPRIGHT = {
    1: "top left",
    2: "top right",
    3: "bottom right",
    4: "bottom left",
    5: "top left",
    6: "top right",
    7: "bottom right",
    8: "bottom left",
}

PEAK = """
import sys
from pathlib import Path
from dermedge import image
from dermedge.errors import ImageError
try:
    image.read(Path(sys.argv[1]))
except ImageError as error:
    print(error)
peak = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
print(int(peak.split()[1]) // 1024)
"""


def marked(height: int = 48, width: int = 64) -> np.ndarray:
    """Red, with a white mark top left, RGB."""
    pixels = np.full((height, width, 3), RED, np.uint8)
    pixels[:16, :16] = WHITE
    return pixels


def encoded(pixels: np.ndarray, ending: str = ".png", *settings: int) -> bytes:
    """RGB pixels as a file."""
    bgr = pixels[..., ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels
    return cv2.imencode(ending, np.ascontiguousarray(bgr), settings)[1].tobytes()


def segment(jpeg: bytes, payload: bytes) -> bytes:
    """A JPEG with one more APP1 segment."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side: int) -> bytes:
    """A valid PNG of `side` x `side` black pixels, one bit each."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", body), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


JPEG = encoded(marked(), ".jpg")


def corner(pixels: np.ndarray) -> str:
    """Where the white mark lies."""
    (found,) = [name for name, place in CORNERS.items() if pixels[place].min() > 200]
    return found


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_usual_formats_become_rgb(ending: str):
    found = image.decode(encoded(marked(), ending), "x")
    assert (found.shape, found.dtype) == ((48, 64, 3), np.uint8)
    assert np.abs(found.astype(int) - marked()).max() <= (60 if ending in (".jpg", ".webp") else 0)
    assert np.abs(found[40, 50].astype(int) - RED).max() <= 3


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(marked()[..., 0], id="greyscale"),
        pytest.param(marked().astype(np.uint16) * 257, id="16-bit"),
        pytest.param(marked()[..., 0].astype(np.uint16) * 257, id="16-bit greyscale"),
        pytest.param(np.dstack([marked()[..., ::-1], np.full((48, 64), 9, np.uint8)]), id="alpha"),
    ],
)
def test_every_png_becomes_8_bit_rgb_and_transparency_is_dropped(pixels: np.ndarray):
    found = image.decode(encoded(pixels), "x")
    assert (found.shape, found.dtype) == ((48, 64, 3), np.uint8)
    assert corner(found) == "top left"
    expected = RED if pixels.ndim == 3 else (RED[0],) * 3
    assert found[40, 50].tolist() == list(expected)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "LA", "1"])
def test_colour_modes_of_other_programs_become_rgb(mode: str):
    pil = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    picture = pil.fromarray(marked()).convert(mode, dither=pil.Dither.NONE)
    picture.save(stream, "JPEG" if mode == "CMYK" else "PNG")
    found = image.decode(stream.getvalue(), "x")
    assert (found.shape, found.dtype) == ((48, 64, 3), np.uint8)
    assert corner(found) == "top left"
    if mode == "CMYK":
        assert np.abs(found[40, 50].astype(int) - RED).max() <= 6


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photographs_are_turned_upright(orientation: int):
    found = image.decode(segment(JPEG, exif(orientation)), "x")
    assert corner(found) == UPRIGHT[orientation]
    assert found.shape[:2] == ((48, 64) if orientation < 5 else (64, 48))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_cut_off_file_is_refused(ending: str, share: float):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(noise, ending)
    with pytest.raises(ImageError):
        image.decode(data[: int(len(data) * share)], "x")


def test_a_cut_off_jpeg_says_so_in_spite_of_a_whole_thumbnail():
    whole = segment(JPEG, b"Exif\0\0" + JPEG)
    assert corner(image.decode(whole, "x")) == "top left"
    with pytest.raises(ImageError, match=r"photo\.jpg: the JPEG is cut off"):
        image.decode(whole[:-200], "photo.jpg")


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_without_its_last_marker_is_cut_off(progressive: int):
    data = encoded(marked(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    assert corner(image.decode(data, "x")) == "top left"
    with pytest.raises(ImageError, match="cut off"):
        image.decode(data[:-2], "x")


@pytest.mark.parametrize("size", [5000, 1 << 31, (1 << 32) - 1])
def test_a_png_whose_chunk_goes_beyond_the_file_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, size: int
):
    whole = encoded(marked())
    at = whole.index(b"IDAT") - 4
    assert len(whole) < 5000
    # OpenCV would ask for so much memory.
    monkeypatch.setattr(cv2, "imdecode", lambda *given: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="the PNG is cut off or damaged"):
        image.decode(whole[:at] + size.to_bytes(4, "big") + whole[at + 4 :], "x")


def test_what_follows_a_png_does_not_matter():
    assert corner(image.decode(encoded(marked()) + b"\0" * 100, "x")) == "top left"


def test_a_film_behind_a_jpeg_does_not_matter():
    """Motion photographs of phones: the JPEG, then a video whose bytes may look like markers."""
    assert corner(image.decode(JPEG + b"\0\0\0\x18ftypmp42 \xff\xda \xff\xd8", "x")) == "top left"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a readable photograph"),
        (b"this is a text\n" * 50, "not a readable photograph"),
        (b"GIF89a" + bytes(100), "GIF"),
        (b"GIF87a", "GIF"),
        (b"\x89PNG\r\n\x1a\n", "the PNG is cut off or damaged"),
        (b"\xff\xd8\xff", "cut off"),
    ],
)
def test_what_is_no_photograph_is_refused_by_name(tmp_path: Path, data: bytes, reason: str):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as told:
        image.read(path)
    assert str(path) in str(told.value)
    assert told.value.exit_code == 4


def test_an_animated_gif_is_refused_with_what_to_do():
    pil = pytest.importorskip("PIL.Image")
    frames = [pil.fromarray(marked() // n) for n in (1, 2, 3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="save JPEG or PNG"):
        image.decode(stream.getvalue(), "x")


@pytest.mark.parametrize("name", ["absent.jpg", "folder.jpg", "absent/photo.jpg"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str):
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageError, match="can't be read"):
        image.read(tmp_path / name)


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "photo.jpg"
    with path.open("wb") as stream:
        stream.truncate(image.MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    with pytest.raises(ImageError, match="at most 256 are read"):
        image.read(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_png_of_20000_x_20000_pixels_is_refused_in_bounded_memory(tmp_path: Path):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(20_000))
    assert path.stat().st_size < 2**20
    done = subprocess.run(
        [sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True
    )
    error, peak = done.stdout.splitlines()
    assert error == f"{path}: more than 100 megapixels; scale it down first"
    assert int(peak) < 300  # MiB; decoded, it would take 1,144


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_slivers_are_read(size: tuple[int, int]):
    assert image.decode(encoded(np.zeros((*size, 3), np.uint8)), "x").shape == (*size, 3)


def test_a_folder_is_searched_in_order_and_hidden_files_are_left_out(tmp_path: Path):
    names = ["b.JPG", "a.png", "sub/c.webp", ".hidden.jpg", ".cache/d.jpg", "notes.txt", "e.gif"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in image.find(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]


def test_a_folder_inside_a_hidden_one_is_searched(tmp_path: Path):
    folder = tmp_path / ".private" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    assert image.find(folder) == [folder / "a.png"]


def outcome(data: bytes) -> None:
    """An RGB picture or an ImageError, and nothing else."""
    try:
        found = image.decode(data, "x")
    except ImageError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3


@given(st.binary(max_size=300))
@example(b"\xff\xd8" + b"\xff" * 50)
def test_random_bytes_are_a_picture_or_an_image_error(data: bytes):
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"):
        outcome(start + data)


SMALL = [encoded(marked(20, 24), ending) for ending in (".jpg", ".png", ".webp", ".tif")]


@given(
    data=st.sampled_from(SMALL),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    kept=st.floats(0, 1),
)
@settings(max_examples=200)
def test_altered_files_are_a_picture_or_an_image_error(
    data: bytes, changes: list[tuple[int, int]], kept: float
):
    altered = bytearray(data)
    for place, value in changes:
        altered[place % len(altered)] = value
    outcome(bytes(altered))
    outcome(bytes(altered[: int(len(altered) * kept)]))


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_file_name_need_not_be_text(tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.write_bytes(encoded(marked()))
    assert image.find(tmp_path) == [path]
    assert corner(image.read(path)) == "top left"


def test_the_corners_of_the_test_picture_can_be_told_apart():
    flips = {
        corner(marked()[::down, ::right]): (down, right)
        for down, right in product((1, -1), (1, -1))
    }
    assert set(flips) == set(CORNERS)
