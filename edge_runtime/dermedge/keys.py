"""Ed25519 keys: made as a pair of PEM files, and pinned on a device as files of one folder."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dermedge import atomic, links, pem
from dermedge.errors import InputError, MissingError, StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC, PRIVATE = ".pub", ".pem"

_LENGTH = 32
_MAX_BYTES = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# RFC 8410: every Ed25519 public key in DER is these 12 bytes and then the key itself. So a pinned
# key can be read, and a device refuse, without the package `cryptography`.
_DER = bytes.fromhex("302a300506032b6570032100")
_PEM = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----\s*"
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key.

    Attributes:
        name: What people call it: its file's name without the ending.
        raw: The 32 bytes of RFC 8032.
    """

    name: str
    raw: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the 32 bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner signed exactly `message`.

        Raises:
            MissingError: The extra `sign` is not installed.
        """
        require_installed()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The secret half of a pair, in memory."""

    public: PublicKey
    _secret: Ed25519PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same message always gives the same ones."""
        return self._secret.sign(message)


def require_installed() -> None:
    """Raise a MissingError that names the extra, unless `cryptography` is there."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "signatures need the package cryptography; run: pip install 'dermkit[sign]' "
            "(on a device: 'dermkit-edge[sign]')"
        ) from error


def make(folder: Path, name: str) -> PublicKey:
    """Write a new pair: NAME.pem, which only its owner may read, and NAME.pub.

    Raises:
        InputError: Not a name for a key, or one of the files is there already.
        MissingError: The extra `sign` is not installed.
        StorageError: The folder can't be written.
    """
    require_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = (folder / f"{_checked(name)}{ending}" for ending in (PRIVATE, PUBLIC))
    for path in (private, public):
        if path.exists():
            raise InputError(f"{path} is there already; a key is never overwritten")
    secret = Ed25519PrivateKey.generate()
    pem.write(private, secret)
    key = PublicKey(name, secret.public_key().public_bytes_raw())
    atomic.write_text(public, _as_pem(key))
    return key


def read_private(path: Path) -> PrivateKey:
    """Read an Ed25519 key in PEM (PKCS #8, without a password), as `make` or openssl writes it.

    Raises:
        InputError: Absent, or not such a key.
        MissingError: The extra `sign` is not installed.
    """
    require_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        found = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is not a private key without a password in PEM") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise InputError(f"{path} is a private key, but not of Ed25519")
    return PrivateKey(PublicKey(path.stem, found.public_key().public_bytes_raw()), found)


def read_public(path: Path) -> PublicKey:
    """Read an Ed25519 public key in PEM; its name is that of the file.

    Raises:
        InputError: Absent, or not such a key.
    """
    found = _PEM.fullmatch(_read(path).decode("ascii", "replace"))
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except binascii.Error:
        der = b""
    if len(der) != len(_DER) + _LENGTH or not der.startswith(_DER):
        raise InputError(f"{path} is not an Ed25519 public key in PEM")
    return PublicKey(path.stem, der[len(_DER) :])


def pinned(folder: Path) -> tuple[PublicKey, ...]:
    """The keys that a device trusts: every NAME.pub of the folder; none if it is not there.

    Raises:
        InputError: One of the files is no public key. Leaving it out would be safe but hard to
            notice.
        StorageError: The folder can't be read, so that nobody knows what is pinned.
    """
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix == PUBLIC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"the keys in {folder} can't be read: {error.strerror}") from error
    return tuple(read_public(path) for path in names)


def pin(folder: Path, source: Path) -> PublicKey:
    """Let a device trust a key from now on.

    Raises:
        InputError: Not a public key, or another one of that name is pinned.
        MissingError: The extra `sign` is not installed: the device could then verify nothing.
        StorageError: The folder can't be written.
    """
    require_installed()
    key = read_public(source)
    target = folder / f"{_checked(key.name)}{PUBLIC}"
    links.refuse(folder, target)
    if target.exists() and read_public(target) != key:
        raise InputError(f"another key is pinned as {target}; remove that file first")
    with links.held(folder) as held:
        atomic.publish_text(target, _as_pem(key), held)
    return key


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a key: letters, digits, - and _ only")
    return name


def _as_pem(key: PublicKey) -> str:
    body = base64.b64encode(_DER + key.raw).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES)
    except OSError as error:
        raise InputError(f"the key {path} can't be read: {error.strerror}") from error
