"""Accepts connections: counted and paced, so that a flood of them costs next to nothing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from dermedge.web.bucket import Bucket, Buckets, owner
from dermedge.web.tls import Tls

CONNECTIONS = 64
CONNECTIONS_EACH = 16  # of one client address; a browser opens six
HEAD_S = 5.0  # for the head of a request, and between two requests
TAKE_S = 10.0  # a client that takes nothing for so long is let go

# A connection that is let in costs about a millisecond, one that is turned away a twentieth of it.
_ADMITTED_PER_S, _ADMITTED_EACH_PER_S = 40.0, 20.0
_ACCEPTED_PER_S, _ACCEPTED_BURST = 200.0, 100.0
_PAUSE_S = 0.1  # meanwhile the kernel keeps who comes, and turns away those beyond its backlog
# What the kernel may hold unsent, bytes: else it takes some seconds of the live picture before a
# slow network is noticed. Windows has no such bound.
_UNSENT = 16 * 1024
_UNSENT_OPTION = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: nothing is left of a connection that is turned away


class Patient(H11Protocol):
    """Uvicorn's protocol, and a connection that asks for nothing, or takes nothing, is ended.

    Attributes:
        gone: Done when the connection has ended.
    """

    def __init__(self, config: Config, state: ServerState) -> None:
        """`state` is that of uvicorn's server."""
        super().__init__(config=config, server_state=state, app_state={})
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch it."""
        super().connection_made(transport)
        # Nor is more held here than one picture. Not 0: of TLS asyncio then says at once that it is
        # full, and never that it isn't.
        transport.set_write_buffer_limits(high=1)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch it no more."""
        self._timer.cancel()
        super().connection_lost(exc)
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """It takes nothing: begin to lose patience."""
        super().pause_writing()
        self._stuck = self.loop.call_later(TAKE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It takes again, or has gone."""
        if self._stuck is not None:
            self._stuck.cancel()
        super().resume_writing()

    def _watch(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._look, self.cycle)

    def _look(self, before: RequestResponseCycle | None) -> None:
        """End it if no request has begun since the last look, and none is being answered."""
        if self.cycle is before and (before is None or before.response_complete):
            self.transport.abort()
            return
        self._watch()


class Door:
    """A listening socket; stands where uvicorn keeps an `asyncio.Server`."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], Patient],
        tls: Tls | None,
        refused: Counter[str],
    ) -> None:
        """Open it, inside the running loop.

        Args:
            listener: Bound and listening.
            protocol: Makes what serves one connection.
            tls: None: unencrypted.
            refused: Counts who was turned away.
        """
        listener.setblocking(False)
        self._listener, self._protocol, self._tls = listener, protocol, tls
        self._refused = refused
        self._accepted = Bucket(_ACCEPTED_PER_S, _ACCEPTED_BURST)
        self._admitted = Bucket(_ADMITTED_PER_S, CONNECTIONS)
        self._each = Buckets(_ADMITTED_EACH_PER_S, 2 * CONNECTIONS_EACH)
        self._open: Counter[str] = Counter()
        self._greeting: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Let nobody in any more."""
        for task in (self._task, *self._greeting):
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait until the door is shut."""
        await asyncio.wait((self._task, *self._greeting))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._accepted.take():
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                client, address = await loop.sock_accept(self._listener)
            except OSError:  # it has gone again, or this process has too many files open
                await asyncio.sleep(_PAUSE_S)
                continue
            who = owner(address[0])
            if not self._admits(who):
                self._refused["connection"] += 1
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            self._open[who] += 1
            task = loop.create_task(self._greet(client, who))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _admits(self, who: str) -> bool:
        return (
            self._open.total() < CONNECTIONS
            and self._open[who] < CONNECTIONS_EACH
            and self._each.of(who).take()
            and self._admitted.take()
        )

    async def _greet(self, client: socket.socket, who: str) -> None:
        """Serve one connection until it ends."""
        try:
            if _UNSENT_OPTION is not None:
                client.setsockopt(socket.IPPROTO_TCP, _UNSENT_OPTION, _UNSENT)
            _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                client,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=HEAD_S if self._tls else None,
            )
            await protocol.gone
        except OSError:  # it speaks no TLS, or not in time
            client.close()
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]
