"""What is shown once to whoever starts the preview: its address, also as a QR code."""

from __future__ import annotations

import io
import ipaddress
import socket

import segno

from dermedge.loopback import is_loopback
from dermedge.web.addresses import outward
from dermedge.web.settings import Settings


def address(settings: Settings) -> str:
    """The page's address, without the token."""
    host = settings.host
    try:
        found = ipaddress.ip_address(host)
        host = (outward() or socket.gethostname()) if found.is_unspecified else host
        host = f"[{host}]" if ":" in host else host
    except ValueError:
        pass
    return f"{settings.scheme}://{host}:{settings.port}/"


def link(settings: Settings) -> str:
    """The same with the token behind the #: a browser sends that to nobody."""
    return address(settings) + (f"#token={settings.token}" if settings.token else "")


def qr(text: str) -> str:
    """A QR code for a terminal, dark signs on light ground or the other way round."""
    lines = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(lines, border=2, compact=True)
    return lines.getvalue()


def greeting(settings: Settings, fingerprint: str = "", known: bool = False) -> str:
    """All of it in words.

    Args:
        settings: Of the preview.
        fingerprint: Of a certificate made on this device.
        known: The user has the token already: it is left out.
    """
    shown = address(settings) if known else link(settings)
    lines = [f"preview: {shown}"]
    if not is_loopback(settings.host):
        lines.append(qr(shown).rstrip("\n"))
        if settings.certificate is None:
            lines.append("preview: NOT ENCRYPTED: whoever is on this network can see the pictures")
    if fingerprint:
        lines.append(f"preview: the browser will warn; the certificate's SHA-256 is {fingerprint}")
    return "\n".join(lines)
