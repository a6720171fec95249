"""Model, contract, card and what belongs to them in one file: pack, sign, open.

The seal (`dermedge.seal`) is checked before any of the file is read as a zip (`dermedge.archive`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dermedge import archive, atomic, contract, permission, seal
from dermedge.archive import CARD, CONTRACT, GOLDEN, MODEL, NOVELTY
from dermedge.contract import Contract
from dermedge.errors import BundleError
from dermedge.keys import PrivateKey
from dermedge.seal import Manifest
from dermedge.trust import ANYONE, NOT_CHECKED, Origin, Trust


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified bundle, in memory.

    Attributes:
        path: The file it was read from.
        sha256: Of the bundle file.
        contract: What the model expects and promises.
        model: The bytes of a .tflite file.
        card: The model card, Markdown.
        golden: The text that `dermedge.golden.parse` reads; empty if it came without.
        novelty: The bytes that `dermedge.novelty.parse` reads; empty if it came without.
        signature: Whose it is, as in `dermedge.trust.Origin`.
        version: The signed one; 0 unless a pinned key signed.
    """

    path: Path
    sha256: str
    contract: Contract
    model: bytes = field(repr=False)  # a traceback must not print 90 MB
    card: str
    golden: str = field(default="", repr=False)
    novelty: bytes = field(default=b"", repr=False)
    signature: str = NOT_CHECKED
    version: int = 0


def pack(
    path: Path, terms: Contract, model: bytes, card: str, golden: str = "", novelty: bytes = b""
) -> Contract:
    """Write a bundle, whole or not at all.

    Args:
        path: The bundle's file.
        terms: Its contract; the `model` section is filled in here.
        model: The bytes of a .tflite file.
        card: The model card, Markdown.
        golden: What a device checks itself with: `Golden.to_json()` of `dermedge.golden`.
        novelty: `Subspace.to_bytes()` of `dermedge.novelty`, if `terms` has that section.

    Returns:
        The contract as packed: its `model` section describes `model`.

    Raises:
        BundleError: The section `novelty` and its numbers do not come together.
    """
    _expect_pair(terms, novelty, path)
    digest = archive.sha256(model)
    terms = dataclasses.replace(terms, model=contract.Model(MODEL, digest, "tflite"))
    files = {CONTRACT: terms.to_json().encode(), MODEL: model, CARD: card.encode()}
    if golden:
        files[GOLDEN] = golden.encode()
    if novelty:
        files[NOVELTY] = novelty
    with atomic.whole(path) as temporary:
        archive.write(temporary, files)
    return terms


def open_bundle(path: Path, trust: Trust = ANYONE) -> Bundle:
    """Read and verify a bundle: origin, names, sizes, checksums, contract; in this order.

    Args:
        path: The bundle's file.
        trust: Whose signature is asked for.

    Raises:
        BundleError: Absent, not ours to read, cut off, altered, not signed by whom `trust` names,
            of an unknown format, or with entries that do not belong there.
        MissingError: A signature has to be checked and the extra `sign` is not installed.
    """
    try:
        if not path.is_file():
            raise BundleError(f"{path} is not a bundle file; `kit compress RUN` makes small.kit")
        # Opened once: what is checked is what is read, also if another file takes its name.
        with path.open("rb") as stream:
            digest, origin, files = _read(stream, path, trust)
    except PermissionError as error:
        raise BundleError(permission.explain(error)) from error
    except archive.NOT_WHOLE as error:
        raise BundleError(f"{path} is not a whole bundle ({error}); copy it again") from error
    terms = contract.parse(archive.text(files[CONTRACT], path), f"{path}: {CONTRACT}")
    if terms.model.kind != "tflite" or terms.model.file != MODEL:
        raise BundleError(f"{path}: expected the contract of {MODEL}, found {terms.model}")
    if archive.sha256(files[MODEL]) != terms.model.sha256:
        raise BundleError(f"{path}: {MODEL} is not the model that the contract names")
    _expect_pair(terms, files.get(NOVELTY, b""), path)
    return Bundle(
        path=path,
        sha256=digest,
        contract=terms,
        model=files[MODEL],
        card=archive.text(files[CARD], path),
        golden=archive.text(files.get(GOLDEN, b""), path),
        novelty=files.get(NOVELTY, b""),
        signature=origin.signature,
        version=origin.manifest.version if origin.manifest else 0,
    )


def sign(path: Path, out: Path, key: PrivateKey, version: int) -> Manifest:
    """Seal a bundle, whole or not at all; a seal that it bears already is replaced.

    Args:
        path: The bundle; read and verified first.
        out: The sealed one; may be `path`.
        key: The signer's.
        version: 1 to `seal.MAX_VERSION`; rises with every release.

    Returns:
        What was signed.

    Raises:
        BundleError: `path` is not a whole bundle, or changed while it was read.
        StorageError: `out` can't be written.
    """
    found, data = open_bundle(path), path.read_bytes()
    if archive.sha256(data) != found.sha256:
        raise BundleError(f"{path} changed while it was read; try again")
    files = archive.read(io.BytesIO(data), path)
    manifest, sealed = seal.sign(seal.strip(data), _digests(files), version, key)
    atomic.write_bytes(out, sealed)
    return manifest


def sha256(stream: BinaryIO) -> str:
    """Of all that a stream holds, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _read(stream: BinaryIO, path: Path, trust: Trust) -> tuple[str, Origin, dict[str, bytes]]:
    size = stream.seek(0, 2)
    if size > archive.MAX_BYTES:
        raise BundleError(f"{path} is {size} bytes long; a bundle has {archive.MAX_BYTES} at most")
    digest = sha256(stream)
    origin = trust.check(stream, path)
    files = archive.read(stream, path)
    if origin.manifest and origin.manifest.files != _digests(files):
        raise BundleError(f"{path} changed while it was read, or its seal names other files")
    return digest, origin, files


def _expect_pair(terms: Contract, novelty: bytes, path: Path) -> None:
    if (terms.novelty is None) != (not novelty):
        raise BundleError(
            f"{path}: the contract's section novelty and {NOVELTY} belong together, and one of "
            "them is missing; for a model without them the section is null"
        )


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: archive.sha256(data) for name, data in files.items()}
