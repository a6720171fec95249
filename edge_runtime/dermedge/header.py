"""What the bytes of an image file say of it before a pixel is decoded: is it whole, how large."""

from __future__ import annotations

from collections.abc import Iterator

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"

_SCAN = b"\xda"
_FRAMES = b"\xc0\xc1\xc2\xc3\xc5\xc6\xc7\xc9\xca\xcb\xcd\xce\xcf"  # SOF: where the size stands
_BARE = b"\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9"  # markers without a length


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as stored; None unless it is a still JPEG, PNG or WebP.

    It is the size for which OpenCV asks for memory, 6 bytes a pixel, or 9 for some progressive
    JPEGs. What it would read differently is None here, and what moves: that takes 15 bytes.
    """
    if data[:3] == _JPEG:
        return _jpeg_size(data)
    if data[:8] == _PNG and data[12:16] == b"IHDR" and len(data) >= 24:
        moves = any(kind == b"acTL" for kind, _ in _chunks(data))
        return None if moves else (_big(data, 16, 20), _big(data, 20, 24))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    return None


def jpeg_cut_off(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker (FFD9); OpenCV may fill missing rows with grey.

    The segments before the first scan (FFDA) are stepped over, since a thumbnail in them brings an
    end marker of its own. What follows the end, such as a phone's short film, does not count.
    """
    return data[:3] == _JPEG and data.find(b"\xff\xd9", _seek(data, _SCAN)) < 0


def png_cut_off(data: bytes) -> bool:
    """Whether a PNG ends before its last chunk (IEND) does.

    OpenCV 5.0 asks for as much memory as a chunk says that it holds, up to 4 GB, before it finds
    that the file is shorter: of one flipped bit a device would die.
    """
    if data[:8] != _PNG:
        return False
    return not any(kind == b"IEND" and end <= len(data) for kind, end in _chunks(data))


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = _seek(data, _FRAMES + _SCAN)
    if len(data) < at + 9 or data[at] != 0xFF or data[at + 1] not in _FRAMES:
        return None
    return _big(data, at + 7, at + 9), _big(data, at + 5, at + 7)


def _seek(data: bytes, wanted: bytes) -> int:
    """Where the first segment of a JPEG begins whose marker is wanted; else where they end.

    libjpeg reads a marker without a length, or bytes between two segments, in its own way; so they
    end the walk, or two sizes could stand in one file: one for us and one for it.
    """
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in wanted:
        kind = data[at + 1]
        if kind == 0xFF:  # markers may be padded with these
            at += 1
        elif kind < 0xC0 or kind in _BARE:
            break
        else:
            at += 2 + _big(data, at + 2, at + 4)
    return at


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each chunk of a PNG, up to IEND; the last one may end behind the data."""
    at, kind = len(_PNG), b""
    while at < len(data) and kind != b"IEND":
        kind = data[at + 4 : at + 8]
        at += 12 + _big(data, at, at + 4)  # length, kind and checksum are four bytes each
        yield kind, at


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """The container's first chunk says it: extended, lossless or lossy (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X" and not data[20] & 2:  # that bit: moving
        return 1 + _little(data, 24, 27), 1 + _little(data, 27, 30)
    if kind == b"VP8L":
        both = _little(data, 21, 25)
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return _little(data, 26, 28) & 0x3FFF, _little(data, 28, 30) & 0x3FFF
    return None


def _big(data: bytes, start: int, end: int) -> int:
    return int.from_bytes(data[start:end], "big")


def _little(data: bytes, start: int, end: int) -> int:
    return int.from_bytes(data[start:end], "little")
