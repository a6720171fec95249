"""Bytes encrypted with a secret key (AES-256-GCM), so that a stolen card tells nothing."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from dermedge import secret
from dermedge.errors import InputError, MissingError, StorageError

KEY_BYTES = 32
VARIABLE = "KIT_RECORDS_KEY"  # read by the commands, never here

_MAGIC = b"DKCRYPT1\n"
_NONCE = 12


class Key:
    """A secret key, ready to use; never printed."""

    def __init__(self, secret: bytes) -> None:
        """Take 32 secret bytes.

        Raises:
            MissingError: The package `cryptography` is not installed.
        """
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingError(
                "encryption needs the package cryptography; run: pip install 'dermkit[crypt]' "
                "(on a device: 'dermkit-edge[crypt]')"
            ) from error
        self._cipher = AESGCM(secret)

    def encrypt(self, data: bytes, name: str) -> bytes:
        """What comes out can be decrypted only with this key, and only under this name."""
        nonce = os.urandom(_NONCE)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, data, _MAGIC + name.encode())

    def decrypt(self, data: bytes, name: str) -> bytes:
        """Undo `encrypt`.

        Raises:
            InputError: Another key, another name, or altered bytes.
        """
        from cryptography.exceptions import InvalidTag

        start = len(_MAGIC)
        nonce, rest = data[start : start + _NONCE], data[start + _NONCE :]
        if not data.startswith(_MAGIC) or len(nonce) < _NONCE:
            raise InputError(f"{name} is not a picture that the kit has encrypted")
        try:
            return self._cipher.decrypt(nonce, rest, _MAGIC + name.encode())
        except InvalidTag as error:
            raise InputError(
                f"{name} can't be decrypted: another key, or the file was altered or renamed"
            ) from error


def new_key(path: Path) -> None:
    """Write a new random key to a file that only its owner may read.

    Raises:
        InputError: There is a file of this name already.
        StorageError: It can't be written.
    """
    text = base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never replaced: what an older key has encrypted would be lost with it.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        raise InputError(f"{path} is there already; a key is never replaced") from error
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror or error}") from error


def load_key(file: Path | None, text: str | None) -> Key | None:
    """The key in a file, else the one in a text such as that of $KIT_RECORDS_KEY; None if neither.

    Raises:
        InputError: No key of 32 bytes in base64 or hexadecimal, or anybody may read the file.
        MissingError: The package `cryptography` is not installed.
    """
    if file is not None:
        return Key(_decoded(secret.read(file, "key"), str(file)))
    return Key(_decoded(text, f"${VARIABLE}")) if text else None


def _decoded(text: str, where: str) -> bytes:
    """32 bytes; the text itself never enters an error."""
    text = text.strip()
    try:
        found = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else _base64(text)
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise InputError(
            f"{where} holds no key: expected {KEY_BYTES} bytes in base64 or hexadecimal, "
            "as `kit records key FILE` makes them"
        )
    return found


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(
            text, altchars=b"-_" if set("-_") & set(text) else None, validate=True
        )
    except binascii.Error as error:
        raise ValueError(str(error)) from error
