"""A file or bytes -> an upright RGB uint8 photograph, bounded in size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dermedge import MAX_PIXELS, header
from dermedge.errors import ImageError

MAX_BYTES = 256 * 1024 * 1024
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

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


def decode(data: bytes, where: str, most: int | None = None) -> RGB:
    """Decode the bytes of one image file; see `read`.

    Args:
        data: The file.
        where: Names it in errors.
        most: Let no more pixels in than these, by the file's own header, before anything is
            decoded; then it must be a still JPEG, PNG or WebP. None: MAX_PIXELS, any format.
    """
    if data[:4] == b"GIF8":
        raise ImageError(
            f"{where}: GIF (256 colours, maybe moving) can't be judged; save JPEG or PNG"
        )
    if header.jpeg_cut_off(data):
        raise ImageError(f"{where}: the JPEG is cut off (no end marker); copy the file again")
    if header.png_cut_off(data):
        raise ImageError(f"{where}: the PNG is cut off or damaged; copy the file again")
    if most is not None:
        _bound(data, where, most)
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


def _bound(data: bytes, where: str, most: int) -> None:
    size = header.size(data)
    if size is None:
        raise ImageError(f"{where} is not a readable, still photograph (JPEG, PNG or WebP)")
    if size[0] * size[1] > most:
        raise ImageError(
            f"{where}: {size[0]} x {size[1]} is more than {most / 1e6:.0f} megapixels; "
            "scale it down first"
        )
