"""The seal of a bundle: a signed manifest in its last 4096 bytes, checked before the zip is read.

A bundle is a zip file. Its seal is that zip's comment, and always 4096 bytes long:

    dermkit seal 1
    <SHA-256 of the public key, 64 hexadecimal digits>
    <Ed25519 signature of the manifest, 128 hexadecimal digits>
    <manifest: one line of JSON>
    <spaces>

So it travels in the one file (a file beside it would be forgotten); every zip reader, older kits
included, opens a sealed bundle without a word (bytes before a zip make some of them complain); and
its place is known without reading any of the zip: the last 4096 bytes. The manifest names size and
SHA-256 of every byte before it, so nothing of the file is read as a zip, let alone as a model,
before somebody whose key is pinned has vouched for all of it. It also names the SHA-256 of each
file inside, which is compared after unpacking: should the file change on the disk in between, the
interpreter still sees only what was signed.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from dermedge.errors import BundleError, InputError
from dermedge.keys import PrivateKey, PublicKey

SIZE = 4096
FORMAT = 1
MAX_VERSION = 2**53 - 1  # what every reader of JSON holds exactly

_MAGIC = b"dermkit seal 1\n"
_LAYOUT = re.compile(rb"dermkit seal 1\n([0-9a-f]{64})\n([0-9a-f]{128})\n(\{[^\n]*\})\n( *)")
# Signed with the manifest, so that no signature made for another purpose fits.
_PURPOSE = b"dermkit bundle manifest 1\n"
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the signer vouches for.

    Attributes:
        version: Rises with every release; a device goes back only if it is told to.
        bytes: Size of all that comes before the seal.
        sha256: Of all that comes before the seal.
        files: SHA-256 of each file inside, by name.
        format: Of the manifest itself.
    """

    version: int
    bytes: int
    sha256: str
    files: Mapping[str, str]
    format: int = FORMAT

    def to_json(self) -> bytes:
        """One line; the same manifest always gives the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal as it was found; `manifest` is a claim until `check` has been passed.

    Attributes:
        key: Fingerprint of the key that is said to have signed.
        signature: 64 bytes.
        signed: The bytes of the manifest, as they stand in the file.
        manifest: The same, understood.
    """

    key: str
    signature: bytes
    signed: bytes
    manifest: Manifest


def read(stream: BinaryIO, path: Path) -> Seal | None:
    """Find the seal of a bundle; None if it has none. `path` is for messages.

    Raises:
        BundleError: A seal that is not understood.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - SIZE))
    block = stream.read(SIZE)
    if not block.startswith(_MAGIC):
        return None
    found = _LAYOUT.fullmatch(block)
    if not found:
        raise BundleError(f"the seal of {path} is damaged; copy it again")
    return Seal(
        found[1].decode(), bytes.fromhex(found[2].decode()), found[3], _parse(found[3], path)
    )


def check(seal: Seal, key: PublicKey, stream: BinaryIO, path: Path) -> None:
    """Check signature, size and SHA-256, in this order.

    Raises:
        BundleError: Not signed by this key, or altered since.
        MissingError: The extra `sign` is not installed.
    """
    if not key.signed(_PURPOSE + seal.signed, seal.signature):
        raise BundleError(f"{path} bears a false signature of {key.name}; do not use it")
    expected = seal.manifest
    size = stream.seek(0, 2) - SIZE
    if (size, _digest(stream, size)) != (expected.bytes, expected.sha256):
        raise BundleError(f"{path} is not what {key.name} signed; copy it again")


def sign(
    unsealed: bytes, files: Mapping[str, str], version: int, key: PrivateKey
) -> tuple[Manifest, bytes]:
    """Seal a bundle.

    Args:
        unsealed: The whole zip without a comment; see `strip`.
        files: SHA-256 of each file inside, by name.
        version: 1 to `MAX_VERSION`.
        key: The signer's.

    Returns:
        What was signed, and the bytes of the sealed bundle.

    Raises:
        InputError: A version out of bounds.
        BundleError: More files than a seal has room for.
    """
    if not 1 <= version <= MAX_VERSION:
        raise InputError(f"expected a version from 1 to {MAX_VERSION}, got {version}")
    # The last two bytes of a zip are the length of its comment: they are signed as well.
    body = unsealed[:-2] + SIZE.to_bytes(2, "little")
    digest = hashlib.sha256(body).hexdigest()
    manifest = Manifest(version, len(body), digest, files)
    signed = manifest.to_json()
    signature = key.sign(_PURPOSE + signed).hex().encode()
    lines = (key.public.fingerprint.encode(), signature, signed, b"")
    block = _MAGIC + b"\n".join(lines)
    if len(block) > SIZE:
        raise BundleError(f"a seal of {len(block)} bytes is too long; at most {SIZE}")
    return manifest, body + block.ljust(SIZE)


def strip(data: bytes) -> bytes:
    """A bundle's bytes without its seal, as they were before."""
    if data[-SIZE:].startswith(_MAGIC):
        return data[: -SIZE - 2] + bytes(2)
    return data


def _digest(stream: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while size > 0 and (block := stream.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _parse(text: bytes, path: Path) -> Manifest:
    try:
        manifest = Manifest(**json.loads(text))
        if _makes_sense(manifest) and manifest.to_json() == text:
            return manifest
        problem = "other values than expected"
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        problem = reprlib.repr(str(error))
    raise BundleError(f"the manifest of {path} is not understood ({problem}); update kit")


def _makes_sense(found: Manifest) -> bool:
    digests = (found.sha256, *found.files.values())
    return (
        type(found.format) is int
        and found.format == FORMAT
        and type(found.version) is int
        and 1 <= found.version <= MAX_VERSION
        and type(found.bytes) is int
        and all(type(digest) is str and _HEX.fullmatch(digest) for digest in digests)
    )
