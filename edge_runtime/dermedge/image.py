"""A file or bytes -> an upright RGB uint8 photograph, bounded in size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dermedge import MAX_PIXELS
from dermedge.errors import ImageError

MAX_BYTES = 256 * 1024 * 1024
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

_PNG = b"\x89PNG\r\n\x1a\n"

RGB = npt.NDArray[np.uint8]


def read(path: Path) -> RGB:
    """Read one photograph.

    Returns:
        uint8 (height, width, 3), RGB, upright (the EXIF orientation is applied). Greyscale, 16-bit,
        CMYK and transparent files are converted to 8-bit RGB; transparency is dropped.

    Raises:
        ImageError: Not there, not a photograph, cut off, or beyond MAX_PIXELS or MAX_BYTES.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"{path}: {size / 2**20:.0f} MiB, at most {MAX_BYTES >> 20} are read")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} can't be read: {error.strerror or error}") from error
    return decode(data, str(path))


def decode(data: bytes, where: str) -> RGB:
    """Decode the bytes of one image file; `where` names it in errors. See `read`."""
    if data[:4] == b"GIF8":
        raise ImageError(
            f"{where}: GIF (256 colours, maybe moving) can't be judged; save JPEG or PNG"
        )
    if _jpeg_cut_off(data):
        raise ImageError(f"{where}: the JPEG is cut off (no end marker); copy the file again")
    if _png_cut_off(data):
        raise ImageError(f"{where}: the PNG is cut off or damaged; copy the file again")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise ImageError(
                f"{where}: more than {MAX_PIXELS / 1e6:.0f} megapixels; scale it down first"
            ) from error
        raise ImageError(f"{where} can't be decoded: {error.err or error}") from error
    if bgr is None or bgr.ndim != 3:
        raise ImageError(f"{where} is not a readable photograph (JPEG, PNG, BMP, TIFF or WebP)")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def to_jpeg(image: RGB, quality: int = 95) -> bytes:
    """Encode pixels, uint8 (height, width, 3), RGB: nothing else comes along, no EXIF, no place.

    Raises:
        ImageError: More pixels a side than a JPEG can hold.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"a picture of {image.shape[1]} x {image.shape[0]} can't be encoded")
    return data.tobytes()


def find(folder: Path) -> list[Path]:
    """All photographs beneath a folder, sorted by path; hidden files are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _jpeg_cut_off(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker (FFD9); OpenCV may fill missing rows with grey.

    The segments before the first scan (FFDA) are stepped over, since a thumbnail in them brings an
    end marker of its own. What follows the end, such as a phone's short film, does not count.
    """
    if data[:3] != b"\xff\xd8\xff":
        return False
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        if data[at + 1 : at + 2] == b"\xff":  # markers may be padded with these
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


def _png_cut_off(data: bytes) -> bool:
    """Whether a PNG ends before its last chunk (IEND) does.

    OpenCV 5.0 asks for as much memory as a chunk says that it holds, up to 4 GB, before it finds
    that the file is shorter: of one flipped bit a device would die.
    """
    at = len(_PNG)
    if data[:at] != _PNG:
        return False
    while at < len(data):
        kind, size = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4], "big")
        at += 12 + size  # length, kind and checksum are four bytes each
        if kind == b"IEND":
            break
    else:
        return True
    return at > len(data)
