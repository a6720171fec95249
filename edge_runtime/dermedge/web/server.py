"""Uvicorn, run in a thread, behind a door of our own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import Counter
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from dermedge.errors import InputError, KitError
from dermedge.web.door import CONNECTIONS, HEAD_S, Door, Patient
from dermedge.web.settings import Settings

_BACKLOG = 64
_HEAD_BYTES = 16 * 1024  # longest head of a request
_START_S, _END_S = 10.0, 5.0
_GRACE_S = 2


class Server:
    """Serves an application until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        app: ASGIApp,
        tls: ssl.SSLContext | None,
        refused: Counter[str],
    ) -> None:
        """Start the thread, and wait until it serves.

        Args:
            listener: Bound; belongs to the server from now on.
            app: What answers.
            tls: None: unencrypted.
            refused: Counts the connections that are turned away.

        Raises:
            KitError: It does not start.
        """
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=Patient,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # what strangers send is no news
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS + 1,
            timeout_keep_alive=round(HEAD_S),
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        self._server = _Behind(config, listener, tls, refused)
        self._thread = threading.Thread(target=self._run, name="dermedge-web", daemon=True)
        self._thread.start()
        if not self._server.up.wait(_START_S) or not self._server.started:
            self.close()
            raise KitError("the web server does not start")

    def close(self) -> None:
        """End it; what is still being answered has a moment to finish."""
        self._server.should_exit = True
        self._thread.join(_END_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[]))
        finally:
            self._server.up.set()


class _Behind(uvicorn.Server):
    """Listens through a `Door`, and on no socket of its own."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        refused: Counter[str],
    ) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._listener, self._tls, self._refused = listener, tls, refused

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)

        def protocol() -> Patient:
            return Patient(self.config, self.server_state)

        door = Door(self._listener, protocol, self._tls, self._refused)
        self.servers = [door]  # type: ignore[list-item]
        self.up.set()


def listen(settings: Settings) -> socket.socket:
    """Bind the address.

    Raises:
        InputError: It is in use, or not one of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise InputError(f"the preview can't listen on {settings.host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(
            f"the preview can't listen on {settings.host}, port {settings.port}: "
            f"{error.strerror}; choose another port"
        ) from error
    return listener


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
