"""Secret keys as files: PEM (PKCS #8, without a password), for their owner's eyes alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dermedge import atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def write(path: Path, secret: PrivateKeyTypes) -> None:
    """Write a key that only its owner may read, whole or not at all.

    Raises:
        StorageError: It can't be written.
    """
    from cryptography.hazmat.primitives import serialization

    text = secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with atomic.private(path) as stream:
        stream.write(text)
