"""The live picture: MJPEG, encoded only while somebody watches, once for all who do."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from dermedge.web.newest import Newest, Shot
from dermedge.web.problem import problem
from dermedge.web.settings import Settings
from dermedge.web.view import jpeg

_BOUNDARY = b"dermkit-5c1f0a7e"
# A browser shows a picture when the next one begins: so each is followed at once by the head of the
# next, which therefore can't tell its length.
_HEAD = b"--" + _BOUNDARY + b"\r\nContent-Type: image/jpeg\r\n\r\n"
_REPEAT_S = 5.0  # again without news, so that a watcher who has gone is noticed
_VALUES = {None: False, "false": False, "true": True}


class Encoder:
    """Encodes what is seen now; those who ask for the same get the same bytes."""

    def __init__(self, newest: Newest, width: int) -> None:
        """`width` in pixels."""
        self._newest, self._width = newest, width
        self._lock = asyncio.Lock()
        self._done: dict[bool, tuple[Shot | str, bytes]] = {}

    async def picture(self, heat: bool) -> tuple[Shot | str, bytes]:
        """What is seen, and its JPEG; encoded in another thread."""
        async with self._lock:
            seen = self._newest.now()
            done = self._done.get(heat)
            if done is None or done[0] != seen:
                done = seen, await asyncio.to_thread(jpeg, seen, self._width, heat)
                self._done[heat] = done
            return done


class Stream:
    """`/api/stream`, an ASGI application."""

    def __init__(self, newest: Newest, settings: Settings) -> None:
        """See `Settings` for its bounds."""
        self._newest, self._settings = newest, settings
        self._encoder = Encoder(newest, settings.stream_width)
        self.watchers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send pictures until the watcher goes, or the preview closes."""
        heat = _VALUES.get(Request(scope).query_params.get("heat"))
        if heat is None:
            await problem(400, "heat: expected true or false")(scope, receive, send)
            return
        if self.watchers >= self._settings.streams:
            said = f"{self.watchers} live pictures are running already"
            await problem(503, said, {"Retry-After": "10"})(scope, receive, send)
            return
        self.watchers += 1
        gone = asyncio.create_task(_gone(receive))
        try:
            kind = b"multipart/x-mixed-replace; boundary=" + _BOUNDARY
            headers = [(b"content-type", kind), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] != "HEAD":
                await self._pictures(heat, gone, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.watchers -= 1
            gone.cancel()

    async def _pictures(self, heat: bool, gone: asyncio.Task[None], send: Send) -> None:
        async def give(body: bytes) -> None:
            message = {"type": "http.response.body", "body": body, "more_body": True}
            await send(message)

        before: Shot | str | None = None
        repeat, loop = 0.0, asyncio.get_running_loop()
        await give(_HEAD)
        while not self._newest.ended and not gone.done():
            await give(b"")  # waits until the one before is on its way: so the next is chosen late
            seen, data = await self._encoder.picture(heat)
            if seen != before or loop.time() >= repeat:
                await give(data + b"\r\n" + _HEAD)
                before, repeat = seen, loop.time() + _REPEAT_S
            await asyncio.wait((gone,), timeout=1 / self._settings.stream_fps)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
