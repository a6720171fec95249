"""Malformed pictures, made from sound ones and read; `test_malformed` runs it as a process.

    malformed_pictures.py COUNT LAST

LAST is a file that holds the number of the picture being read, so that a crash can be repeated:
the same number always gives the same bytes. What came of them is printed as JSON.
"""

import json
import os
import random
import resource
import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from dermedge import image
from dermedge.errors import ImageError

# isort: split
# After dermedge: when OpenCV loads, it reads the bound of a picture that dermedge has set.
import cv2
import numpy as np

Change = Callable[[random.Random, bytes], bytes]

LISTED = (".jpg", ".png", ".bmp", ".webp", ".tif")
# What OpenCV reads too, whatever a file is called.
OTHERS = (".jp2", ".ppm", ".ras", ".hdr", ".pfm", ".avif")
EDGES = (0, 1, 2, 31, 255, 256, 9_999, 16_383, 32_768, 65_535, 99_999)
HUGE = (1 << 20, (1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
ORDERS: Sequence[Literal["little", "big"]] = ("little", "big")
SIDE = 20_000
PNG = b"\x89PNG\r\n\x1a\n"


def sound() -> dict[str, bytes]:
    """Small sound pictures of every kind, as files."""
    coarse = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
    colour = cv2.resize(coarse, (56, 40))
    deep, grey = colour.astype(np.uint16) * 257, colour[..., 0]
    seen = np.dstack([colour, grey])
    lossy = {".webp": (cv2.IMWRITE_WEBP_QUALITY, 80)}
    kinds = [(f"{ending} plain", ending, colour, lossy.get(ending, ())) for ending in LISTED]
    kinds += [
        (".jpg progressive", ".jpg", colour, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg grey", ".jpg", grey, (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        (".png deep", ".png", deep, ()),
        (".png transparent", ".png", seen, ()),
        (".webp lossless", ".webp", seen, (cv2.IMWRITE_WEBP_QUALITY, 101)),
        *(
            (f".tif {way}", ".tif", colour, (cv2.IMWRITE_TIFF_COMPRESSION, way))
            for way in (1, 7, 8)
        ),
        (".tif deep", ".tif", deep, ()),
    ]
    kinds += [
        (ending, ending, colour.astype(np.float32) if ending in (".hdr", ".pfm") else colour, ())
        for ending in OTHERS
        if cv2.haveImageWriter(f"a{ending}")
    ]
    return {
        name: cv2.imencode(ending, pixels, settings)[1].tobytes()
        for name, ending, pixels, settings in kinds
    }


def flipped(chance: random.Random, data: bytes) -> bytes:
    """A few bytes are others, half of them near the beginning."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 2, 4, 16])):
        place = chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 200))
        now = changed[place]
        changed[place] = chance.choice([now ^ 1 << chance.randrange(8), 0, 255])
    return bytes(changed)


def numbered(chance: random.Random, data: bytes) -> bytes:
    """One or two numbers near the beginning, whatever they mean, are at their edges."""
    size = chance.choice([2, 4])
    return _set(chance, data, chance.randrange(min(len(data), 300)), size, chance.choice([1, 2]))


def resized(chance: random.Random, data: bytes) -> bytes:
    """Width or height, or both, are others."""
    places = _sides(data)
    if not places:
        return numbered(chance, data)
    for place, size in chance.choice([places, places[:1], places[1:]]):
        data = _set(chance, data, place, size, 1)
    return _checked(data)


def cut(chance: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: chance.randrange(len(data))]


def joined(chance: random.Random, data: bytes) -> bytes:
    """From somewhere on it is another file."""
    other = chance.choice(list(SOUND.values()))
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def repeated(chance: random.Random, data: bytes) -> bytes:
    """A piece stands there many times."""
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice([1, 12, 100])]
    return data[:start] + piece * chance.choice([2, 50, 3000]) + data[start:]


def noise(chance: random.Random, data: bytes) -> bytes:
    """After the marks of its kind comes nothing sensible."""
    return data[: chance.choice([2, 4, 8, 12, 16, 40])] + chance.randbytes(chance.randrange(600))


def checked(chance: random.Random, data: bytes) -> bytes:
    """Altered, but a PNG's checksums are right again, so that the decoder looks further."""
    return _checked(chance.choice([flipped, numbered, cut])(chance, data))


CHANGES: Sequence[Change] = (
    *(flipped, numbered, numbered, resized, cut, joined, repeated, noise, checked, checked),
)


def malformed(number: int) -> bytes:
    """The picture of this number, always the same."""
    chance = random.Random(number)
    data = chance.choice(list(SOUND.values()))
    for _ in range(chance.choice([1, 1, 2])):
        data = chance.choice(CHANGES)(chance, data) or data
    # Without its last marker no JPEG gets as far as the decoder.
    return data + b"\xff\xd9" if data[:2] == b"\xff\xd8" and chance.random() < 0.5 else data


def oversized() -> dict[str, bytes]:
    """Pictures that say of themselves that they are SIDE x SIDE pixels."""
    made = {}
    for ending in LISTED:
        data = SOUND[f"{ending} plain"]
        for place, size in _sides(data):
            order = "little" if ending in (".bmp", ".webp", ".tif") else "big"
            # WebP has 14 bits for a side: 16,383 x 16,383 is beyond the bound as well.
            side = min(SIDE, (1 << 14) - 1) if ending == ".webp" else SIDE
            data = data[:place] + side.to_bytes(size, order) + data[place + size :]
        made[ending] = _checked(data)
    return made


def outcome(data: bytes, path: Path | None = None) -> str:
    """`picture` or `refused`; anything else is raised."""
    try:
        if path is not None:
            path.write_bytes(data)
        found = image.decode(data, "x") if path is None else image.read(path)
    except ImageError:
        return "refused"
    assert found.dtype == np.uint8, found.dtype
    assert found.ndim == 3, found.shape
    assert found.shape[2] == 3, found.shape
    return "picture"


def peak() -> int:
    """Most memory that this process ever held, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def main(count: int, last: Path) -> None:
    """Read them all."""
    assert {outcome(data) for data in SOUND.values()} == {"picture"}
    before = peak()
    refused = {ending: outcome(data) for ending, data in oversized().items()}
    grown, found = peak() - before, Counter[str]()
    with tempfile.TemporaryDirectory() as folder, last.open("wb", buffering=0) as note:
        for number in range(count):
            os.pwrite(note.fileno(), b"%06d" % number, 0)
            path = Path(folder) / "a.jpg" if number % 10 == 0 else None
            found[outcome(malformed(number), path)] += 1
    print(json.dumps({"oversized": refused, "grown": grown, "found": found, "peak": peak()}))


def _set(chance: random.Random, data: bytes, place: int, size: int, count: int) -> bytes:
    changed = bytearray(data)
    order = chance.choice(ORDERS)
    for _ in range(count):
        value = chance.choice(EDGES if size == 2 or chance.random() < 0.5 else HUGE)
        changed[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, order)
        place += size
    return bytes(changed)


def _sides(data: bytes) -> list[tuple[int, int]]:
    """Where width and height stand, and in how many bytes; empty if unknown."""
    if data.startswith(PNG):
        return [(16, 4), (20, 4)]
    if data.startswith(b"BM"):
        return [(18, 4), (22, 4)]
    if data[12:16] == b"VP8 ":
        return [(26, 2), (28, 2)]
    if data.startswith(b"\xff\xd8"):
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        return [(at + 7, 2), (at + 5, 2)] if at > 0 else []
    if data.startswith(b"II*\0"):
        return _tiff_sides(data)
    return []


def _tiff_sides(data: bytes) -> list[tuple[int, int]]:
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start) if start + 2 <= len(data) else (0,)
    found = []
    for at in range(start + 2, min(start + 2 + 12 * count, len(data) - 11), 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in (256, 257):
            found.append((at + 8, 2 if kind == 3 else 4))
    return found


def _checked(data: bytes) -> bytes:
    """A PNG with checksums that fit its chunks; others as they are."""
    if not data.startswith(PNG):
        return data
    made, at = bytearray(data), len(PNG)
    while at + 12 <= len(made):
        end = at + 8 + int.from_bytes(made[at : at + 4], "big")
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(made)


SOUND = sound()

if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_AS, (3 << 30, 3 << 30)
    )  # a failure is not to fell the machine
    main(int(sys.argv[1]), Path(sys.argv[2]))
