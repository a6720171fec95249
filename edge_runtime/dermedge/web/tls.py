"""The encryption of the preview: its certificate, read again while it runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dermedge.errors import InputError


class Tls:
    """A certificate that may be replaced on the disk.

    Attributes:
        context: Serves those who come from now on.
    """

    def __init__(
        self, certificate: Path, key: Path, renew: Callable[[], None] | None = None
    ) -> None:
        """Read both, PEM; `renew` replaces them where they end soon.

        Raises:
            InputError: They can't be read, or don't belong together.
        """
        self._certificate, self._key, self._renew = certificate, key, renew
        self.context = encrypted(certificate, key)

    def refresh(self) -> None:
        """Renew and read them; what can't be used leaves those that were read before."""
        if self._renew is not None:
            self._renew()
        with suppress(InputError):  # half replaced perhaps: the next time will tell
            self.context = encrypted(self._certificate, self._key)


def encrypted(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later.

    Raises:
        InputError: They can't be read, or don't belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key that asks for a password would wait for somebody to type it.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise InputError(f"TLS with {certificate} and {key}: {error}") from error
    return context
