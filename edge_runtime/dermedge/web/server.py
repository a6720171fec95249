"""Uvicorn, run in a thread, behind a door of our own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter

import uvicorn
from starlette.types import ASGIApp

from dermedge.errors import InputError, KitError
from dermedge.web.door import CONNECTIONS, HEAD_S, Door, Patient
from dermedge.web.settings import Settings
from dermedge.web.tls import Tls

_BACKLOG = 64
_HEAD_BYTES = 16 * 1024  # longest head of a request
_START_S, _END_S = 10.0, 5.0
_GRACE_S = 2
_TLS_S = 3600.0  # a clock that was wrong at the start is soon right, and the certificate with it


class Server:
    """Serves an application until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        app: ASGIApp,
        tls: Tls | None,
        refused: Counter[str],
    ) -> None:
        """Start the thread, and wait until it serves.

        Args:
            listener: Bound; belongs to the server from now on.
            app: What answers.
            tls: Refreshed each hour, in another thread; None: unencrypted.
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
        tls: Tls | None,
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
        if self._tls is not None:
            self._hourly = asyncio.create_task(_refresh(self._tls))
        self.up.set()


async def _refresh(tls: Tls) -> None:
    while True:
        await asyncio.sleep(_TLS_S)
        await asyncio.to_thread(tls.refresh)


def listen(settings: Settings) -> socket.socket:
    """Bind the address.

    Raises:
        InputError: It is in use, not one of this machine, or no address at all.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except UnicodeError as error:  # two dots in a row, or a label of more than 63 signs
        raise InputError(f"the preview can't listen on {settings.host}: no such name") from error
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
