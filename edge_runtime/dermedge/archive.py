"""The zip file of a bundle: a few known names, each read into memory within its limit.

Nothing is ever unpacked to a disk, so no name can lead anywhere; names that are not a bundle's own
are refused all the same, and with them duplicates and those that differ in case only.
"""

from __future__ import annotations

import hashlib
import reprlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from dermedge import seal
from dermedge.errors import BundleError

CONTRACT, MODEL, CARD, SUMS = "contract.json", "model.tflite", "MODEL_CARD.md", "SHA256SUMS"
GOLDEN = "golden.json"
NOVELTY = "novelty.f16"
_OPTIONAL = (GOLDEN, NOVELTY)
LIMITS = {
    **{CONTRACT: 1 << 20, MODEL: 1 << 28, CARD: 1 << 20, SUMS: 1 << 16},
    **{GOLDEN: 1 << 25, NOVELTY: 1 << 23},
}
MAX_BYTES = sum(LIMITS.values())
# What zipfile is known to raise on altered bytes, beside BadZipFile.
NOT_WHOLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, OverflowError, IndexError),
)

# Weights pack to a half or, pruned, to a tenth: what unpacks to much more was made to fill memory.
# Drawn golden vectors do pack to less than a hundredth, and are small.
_MAX_RATIO, _FREE_BYTES = 100, 1 << 25
_MAX_DIRECTORY = 1 << 16
# End of central directory: signature, two disk numbers, entries twice, size, offset, comment.
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
_LOCATOR_64 = 20  # bytes before the end where a zip for more than 4 GB says so
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle's zip; its list of checksums is added here.

    Raises:
        BundleError: A file is too large, so that nobody could open the bundle.
    """
    listed = "".join(f"{sha256(data)}  {name}\n" for name, data in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, SUMS: listed.encode()}.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
            _expect_plain(entry, path)


def read(stream: BinaryIO, path: Path) -> dict[str, bytes]:
    """Read exactly the files of a bundle, each once, and compare their checksums.

    Raises:
        BundleError: Other names, links, too large, or a wrong checksum.
        Exception: One of `NOT_WHOLE`: not a zip file, cut off or altered.
    """
    _expect_small_directory(stream)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        names = sorted(entry.filename for entry in entries)
        if sorted({*names, *_OPTIONAL}) != sorted(LIMITS) or len(names) != len(set(names)):
            found = reprlib.repr(names)
            raise BundleError(
                f"{path}: expected {sorted(set(LIMITS) - set(_OPTIONAL))}, and perhaps "
                f"{list(_OPTIONAL)}; found {found}"
            )
        for entry in entries:
            _expect_plain(entry, path)
        files = {entry.filename: _unpack(archive, entry) for entry in entries}
    _verify(files, path)
    return files


def sha256(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def text(data: bytes, path: Path) -> str:
    """Decode UTF-8, or raise a BundleError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} holds text that is not UTF-8: {error}") from error


def _expect_small_directory(stream: BinaryIO) -> None:
    """Refuse what would make the zip reader list more than a bundle holds.

    It reads the whole list of entries into memory, before anybody can count them.
    """
    size = stream.seek(0, 2)
    for comment in (0, seal.SIZE):
        stream.seek(max(0, size - comment - _END.size - _LOCATOR_64))
        locator, end = stream.read(_LOCATOR_64), stream.read(_END.size)
        if end.startswith(_END_MARK) and len(end) == _END.size:
            # The zip reader takes the last one that it finds, be it hidden in the comment.
            if comment and _END_MARK in end[1:] + stream.read(comment):
                raise zipfile.BadZipFile("it ends more than once")
            break
    else:
        raise zipfile.BadZipFile("it does not end like one")
    _, disk, first, here, entries, length, offset, said = _END.unpack(end)
    if locator.startswith(b"PK\6\7") or (disk, first, said) != (0, 0, comment):
        raise zipfile.BadZipFile("it is a zip for more than 4 GB, of several parts, or with more")
    if here != entries or length > _MAX_DIRECTORY:
        raise zipfile.BadZipFile(f"it lists {entries} entries in {length} bytes")
    if offset + length + _END.size + comment != size:
        raise zipfile.BadZipFile("something was put before it or cut from it")


def _expect_plain(entry: zipfile.ZipInfo, path: Path) -> None:
    name, size = entry.filename, entry.file_size
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise BundleError(f"{path}: {name} is a link or another thing that is no file")
    if size > min(LIMITS[name], _FREE_BYTES + _MAX_RATIO * entry.compress_size):
        raise BundleError(f"{path}: {name} would unpack to {size} bytes")
    if entry.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        raise BundleError(f"{path}: {name} is packed in an unknown way")


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Asked for its size, not for all: what unpacks to more than it says never fills the memory.
    with archive.open(entry) as stream:
        return stream.read(entry.file_size)


def _verify(files: Mapping[str, bytes], path: Path) -> None:
    lines = (line.partition("  ") for line in text(files[SUMS], path).splitlines())
    expected = {name: digest for digest, _, name in lines}
    found = {name: sha256(data) for name, data in files.items() if name != SUMS}
    wrong = sorted(name for name in found if expected.get(name) != found[name])
    if wrong or set(expected) != set(found):
        raise BundleError(f"{path}: checksum of {', '.join(wrong) or SUMS} is wrong; copy it again")
