"""Lets a request through to the application, or refuses it: rate, host, origin, token."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dermedge.loopback import is_loopback
from dermedge.web.access import Access, cookie_name
from dermedge.web.bucket import Bucket, Buckets
from dermedge.web.problem import problem
from dermedge.web.settings import Settings

# What holds nothing of the camera: the page itself, its description, and the door.
OPEN = frozenset(("/", "/app.js", "/style.css", "/icon.svg", "/api/openapi.json", "/api/session"))
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_BURST_S = 4.0  # so many seconds' requests may come at once
_NO_TOKEN_COST = 10.0  # in requests


class Guard:
    """Wraps the application."""

    def __init__(
        self, app: ASGIApp, settings: Settings, access: Access, refused: Counter[str]
    ) -> None:
        """`refused` counts the requests that are turned away, by reason."""
        self._app, self._settings, self._access = app, settings, access
        self._refused = refused
        rate = settings.requests_per_s
        self._rates = Buckets(rate, max(_BURST_S * rate, 2 * _NO_TOKEN_COST))
        name = socket.gethostname().lower()
        # On loopback nobody needs these, and a foreign name server could lead them here.
        own = () if is_loopback(settings.host) else (name, f"{name}.local")
        self._names = {*own, *(each.lower() for each in settings.names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        rate = self._rates.of((scope.get("client") or ("",))[0])

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
                if message["status"] == 401:
                    rate.drain(_NO_TOKEN_COST)
            await send(message)

        found = self._refusal(scope, rate)
        await (found or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, rate: Bucket) -> Response | None:
        headers = Headers(scope=scope)
        if not rate.take():
            return self._refuse("rate", 429, "too many requests", {"Retry-After": "1"})
        if not self._is_meant(scope, headers):
            return self._refuse("host", 421, "this server goes by another name")
        if not _is_same_origin(scope, headers):
            return self._refuse("origin", 403, "another site may not ask for this")
        if scope["path"] in OPEN or not self._access.needed or self._admits(headers):
            return None
        said = "show the token: Authorization: Bearer TOKEN"
        return self._refuse("token", 401, said, {"WWW-Authenticate": "Bearer"})

    def _refuse(
        self, reason: str, status: int, detail: str, headers: dict[str, str] | None = None
    ) -> Response:
        self._refused[reason] += 1
        return problem(status, detail, headers)

    def _is_meant(self, scope: Scope, headers: Headers) -> bool:
        """Whether the Host header names this server: a foreign name may lead here (rebinding)."""
        asked = headers.getlist("host")
        if len(asked) != 1:
            return False
        host = asked[0].lower()
        if host in self._names:
            return ":" in host or _port(scope) == _default(scope)
        address, port = _address(scope), _port(scope)
        shown = f"[{address}]" if ":" in address else address
        local = {shown, *({"localhost"} if is_loopback(address) else ())}
        meant = {f"{name}:{port}" for name in (*local, *self._names)}
        return host in meant or (port == _default(scope) and host in local)

    def _admits(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._access.knows(token.strip())
        return self._access.admits(session_of(headers, self._settings))


def session_of(headers: Headers, settings: Settings) -> str:
    """The session that a browser shows; empty if it shows none."""
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(settings), "")


def _is_same_origin(scope: Scope, headers: Headers) -> bool:
    """Whether no other site is behind a request; who opens the page may come from anywhere."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scope['scheme']}://{headers['host'].lower()}":
        return False
    opens = scope["path"] == "/" and headers.get("sec-fetch-dest") == "document"
    return opens or headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _address(scope: Scope) -> str:
    """Where the client has reached this server."""
    address = (scope.get("server") or ("",))[0].partition("%")[0]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


def _port(scope: Scope) -> int:
    return (scope.get("server") or ("", 0))[1] or 0


def _default(scope: Scope) -> int:
    return 443 if scope["scheme"] == "https" else 80
