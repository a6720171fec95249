"""The address of a camera on the network: what of it is shown, and what is nobody's business."""

from __future__ import annotations

import re
from urllib.parse import unquote

# Where `kit camera` finds a source that is not for the command line; read by the commands alone.
VARIABLE = "KIT_SOURCE"
SCHEMES = ("rtsp", "rtsps", "http", "https")

# An @ behind the host may be one of a password that is written as no address allows it.
_SHOWN = re.compile(
    r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?((?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d+)?)(?:[/?#][^@]*)?",
    re.IGNORECASE,
)
# user=admin_password=..., ?usr=...&pwd=..., ?authbasic=..., ?api_key=...
_SECRET = re.compile(
    r"(?:user|usr|login|account|pas|pw|psw|auth|token|key|secret|cred|sess|sid|sig)\w*=",
    re.IGNORECASE,
)


def is_address(text: str) -> bool:
    """Whether a source is on the network: it has an address, or is a `placeholder`."""
    return "://" in text or is_placeholder(text)


def is_placeholder(text: str) -> bool:
    """Whether a source is a scheme alone, as `rtsp:`: its address stands in `VARIABLE`."""
    return text.endswith(":") and text[:-1].lower() in SCHEMES


def shown(text: str) -> str:
    """Scheme, host and port: paths and queries hold passwords too, or are secret themselves.

    `rtsp://user:password@host:554/path?token` -> `rtsp://host:554`; where it is not sure which part
    is the host: `rtsp://…`. What is no address stays as it is.
    """
    if "://" not in text:
        return text
    found = _SHOWN.fullmatch(text)
    if found is not None:
        return f"{found[1]}{found[2]}"
    scheme = text.partition("://")[0].lower()
    return f"{scheme if scheme in SCHEMES else ''}://…"


def is_secret(text: str) -> bool:
    """Whether an address holds a user or a password, as far as that can be seen."""
    plain = unquote(text)
    return "://" in plain and ("@" in plain or _SECRET.search(plain) is not None)
