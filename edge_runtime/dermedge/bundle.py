"""Model, contract, card and checksums in one file: pack and open."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dermedge import atomic, contract
from dermedge.contract import Contract
from dermedge.errors import BundleError

CONTRACT, MODEL, CARD, SUMS = "contract.json", "model.tflite", "MODEL_CARD.md", "SHA256SUMS"
_LIMITS = {CONTRACT: 1 << 20, MODEL: 1 << 30, CARD: 1 << 20, SUMS: 1 << 16}
# What zipfile is known to raise on altered bytes, beside BadZipFile.
_NOT_WHOLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, OverflowError, IndexError),
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified bundle, in memory. `sha256` is that of the bundle file."""

    path: Path
    sha256: str
    contract: Contract
    model: bytes = field(repr=False)  # a traceback must not print 90 MB
    card: str


def pack(path: Path, terms: Contract, model: bytes, card: str) -> Contract:
    """Write a bundle, whole or not at all.

    Returns:
        The contract as packed: its `model` section describes `model`.
    """
    digest = hashlib.sha256(model).hexdigest()
    terms = dataclasses.replace(terms, model=contract.Model(MODEL, digest, "tflite"))
    files = {CONTRACT: terms.to_json().encode(), MODEL: model, CARD: card.encode()}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    with atomic.whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in {**files, SUMS: sums.encode()}.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return terms


def open_bundle(path: Path) -> Bundle:
    """Read and verify a bundle: names, sizes, checksums, contract.

    Raises:
        BundleError: Absent, cut off, altered, of an unknown format, or with entries that do not
            belong there.
    """
    if not path.is_file():
        raise BundleError(f"{path} is not a bundle file; `kit compress RUN` makes small.kit")
    try:
        with path.open("rb") as stream:
            digest = _digest(stream)
        with zipfile.ZipFile(path) as archive:
            files = _read(archive, path)
    except _NOT_WHOLE as error:
        raise BundleError(f"{path} is not a whole bundle ({error}); copy it again") from error
    _verify(files, path)
    terms = contract.parse(_text(files[CONTRACT], path), f"{path}: {CONTRACT}")
    if terms.model.kind != "tflite" or terms.model.file != MODEL:
        raise BundleError(f"{path}: expected the contract of {MODEL}, found {terms.model}")
    if hashlib.sha256(files[MODEL]).hexdigest() != terms.model.sha256:
        raise BundleError(f"{path}: {MODEL} is not the model that the contract names")
    return Bundle(path, digest, terms, files[MODEL], _text(files[CARD], path))


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _read(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    """Read exactly the files of a bundle, each once and within its size limit."""
    names = [entry.filename for entry in archive.infolist()]
    if sorted(names) != sorted(_LIMITS):
        raise BundleError(f"{path}: expected exactly {sorted(_LIMITS)}, found {sorted(names)}")
    for entry in archive.infolist():
        if entry.file_size > _LIMITS[entry.filename]:
            raise BundleError(f"{path}: {entry.filename} would unpack to {entry.file_size} bytes")
        if entry.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            raise BundleError(f"{path}: {entry.filename} is packed in an unknown way")
    return {entry.filename: _unpack(archive, entry) for entry in archive.infolist()}


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Asked for its size, not for all: what unpacks to more than it says never fills the memory.
    with archive.open(entry) as stream:
        return stream.read(entry.file_size)


def _verify(files: dict[str, bytes], path: Path) -> None:
    expected = {
        name: digest
        for digest, _, name in (
            line.partition("  ") for line in _text(files[SUMS], path).splitlines()
        )
    }
    found = {n: hashlib.sha256(data).hexdigest() for n, data in files.items() if n != SUMS}
    wrong = sorted(name for name in found if expected.get(name) != found[name])
    if wrong or set(expected) != set(found):
        raise BundleError(f"{path}: checksum of {', '.join(wrong) or SUMS} is wrong; copy it again")


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} holds text that is not UTF-8: {error}") from error
