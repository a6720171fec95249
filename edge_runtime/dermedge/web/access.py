"""Who may look: the token, and the sessions of browsers that have shown it."""

from __future__ import annotations

import hashlib
import secrets
import time

from dermedge.web.settings import Settings

SESSION_S = 12 * 3600.0
MAX_SESSIONS = 32


class Access:
    """Knows the token and the sessions by their digests only, and compares in constant time."""

    def __init__(self, token: str) -> None:
        """`token` opens everything; empty: nothing is closed."""
        self._token = _digest(token) if token else b""
        self._sessions: dict[bytes, float] = {}  # digest, and when it ends

    @property
    def needed(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._token)

    def knows(self, token: str) -> bool:
        """Whether this is the token."""
        return secrets.compare_digest(_digest(token), self._token)

    def begin(self) -> str:
        """A new session; the oldest one ends if there are too many."""
        session = secrets.token_urlsafe(24)
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_digest(session)] = time.monotonic() + SESSION_S
        return session

    def admits(self, session: str) -> bool:
        """Whether the session was begun here and has not ended."""
        given, now = _digest(session), time.monotonic()
        found = [
            secrets.compare_digest(given, known) and now < ends
            for known, ends in self._sessions.items()
        ]
        return any(found)


def cookie_name(settings: Settings) -> str:
    """Two servers of one host share their cookies, whatever their ports: hence the port."""
    return f"{'__Host-' if settings.certificate else ''}dermkit-{settings.port}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
