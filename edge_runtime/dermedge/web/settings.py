"""Where the preview is served, to whom, and within which bounds."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from dermedge.errors import InputError
from dermedge.loopback import is_loopback

LOOPBACK, PORT = "127.0.0.1", 8077
MIN_TOKEN = 16  # signs; those that `new_token` makes have 32

# What survives in a header, in a cookie and behind the # of an address.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]*")


@dataclass(frozen=True, slots=True)
class Settings:
    """How the preview is served.

    Attributes:
        host: Address to listen on; one that the network reaches asks for a token.
        port: 0 lets the system choose.
        token: What opens it; empty: anybody on this machine may look.
        names: Further names in an address that are meant for this server, as `camera.example`, or
            `localhost:9000` where the port differs too (a tunnel).
        certificate: PEM file for TLS; None: unencrypted.
        key: Its private key, PEM.
        requests_per_s: How many requests each client address may make in the long run.
        upload_bytes: Longest photograph that is accepted.
        upload_pixels: Most pixels that it may have. The largest that telephones make as "50
            megapixels" have 8192 x 6144; one is decoded at a time.
        upload_s: Longest time that its upload may take, seconds.
        streams: How many live pictures may run at once.
        stream_fps: Frames a second of each, at most.
        stream_width: Widest live picture, pixels.
        stale_s: A judgement older than this is not shown as the present one, seconds.
    """

    host: str = LOOPBACK
    port: int = PORT
    token: str = field(default="", repr=False)
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    requests_per_s: float = 20.0
    upload_bytes: int = 16 * 1024 * 1024
    upload_pixels: int = 51_000_000
    upload_s: float = 20.0
    streams: int = 4
    stream_fps: float = 10.0
    stream_width: int = 960
    stale_s: float = 5.0

    def check(self) -> None:
        """Refuse what can't be meant.

        Raises:
            InputError: Says what is wrong, and what to do.
        """
        if not 0 <= self.port <= 65535:
            raise InputError(f"the port of the preview: expected 0 to 65535, got {self.port}")
        if not _TOKEN.fullmatch(self.token) or 0 < len(self.token) < MIN_TOKEN:
            raise InputError(
                f"the token of the preview: expected {MIN_TOKEN} or more of the letters, digits "
                "and . _ ~ - (openssl rand -hex 16 makes one)"
            )
        if not self.token and not is_loopback(self.host):
            raise InputError(
                f"a preview on {self.host} can be reached from the network: set a token"
            )
        if (self.certificate is None) != (self.key is None):
            raise InputError("TLS takes both a certificate and its key")

    @property
    def scheme(self) -> str:
        """Of its address: http, or https with a certificate."""
        return "http" if self.certificate is None else "https"


def new_token() -> str:
    """A token that nobody guesses: 192 random bits, for an address."""
    return secrets.token_urlsafe(24)
