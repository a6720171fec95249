"""The live picture: the newest frame, encoded once for all, never an old one."""

import asyncio
import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from starlette.types import Message

from dermedge.image import RGB, decode
from dermedge.live import Sighting
from dermedge.web import stream
from dermedge.web.newest import Newest, Shot
from dermedge.web.settings import Settings
from dermedge.web.stream import Encoder, Stream
from dermedge.web.view import jpeg
from dermedge.window import nothing


class Watcher:
    """A browser that takes so many pictures, then goes."""

    def __init__(self, pictures: int, query: str = "", then: Callable = lambda taken: None) -> None:
        self.taken: list[RGB] = []
        self.status = 0
        self._pictures, self._query, self._then = pictures, query, then
        self._gone = asyncio.Event()

    async def watch(self, app: Stream) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/stream",
            "query_string": self._query.encode(),
            "headers": [],
        }
        if not self._pictures:
            self._gone.set()
        await asyncio.wait_for(app(scope, self._receive, self._send), 60)

    async def _receive(self) -> dict:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        data, mark, _ = message.get("body", b"").partition(b"\r\n--")
        if mark:
            self.taken.append(decode(data, "part"))
            self._then(len(self.taken))
        if len(self.taken) >= self._pictures:
            self._gone.set()


@pytest.fixture
def newest(sighting: Sighting) -> Newest:
    found = Newest(60.0)
    found.show(sighting, "")
    return found


def alike(one: RGB, other: RGB) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) < 8


def test_the_newest_frame_is_seen(newest: Newest, sighting: Sighting):
    watcher = Watcher(1)
    asyncio.run(watcher.watch(Stream(newest, Settings())))
    assert alike(watcher.taken[0], sighting.frame.image)


def test_a_camera_that_goes_takes_its_picture_along(newest: Newest, sighting: Sighting):
    def unplug(taken: int) -> None:
        newest.show_nothing("unplugged")

    watcher = Watcher(2, then=unplug)
    asyncio.run(watcher.watch(Stream(newest, Settings(stream_fps=1000))))
    assert alike(watcher.taken[0], sighting.frame.image)
    assert alike(watcher.taken[1], nothing("unplugged"))


def test_with_the_heat_map_only_if_asked(newest: Newest, sighting: Sighting):
    shot = newest.now()
    assert isinstance(shot, Shot)
    plain, hot = (decode(jpeg(shot, 960, heat), "") for heat in (False, True))
    assert alike(plain, sighting.frame.image)
    assert not alike(hot, sighting.frame.image)
    for query, expected in (("heat=true", hot), ("heat=false", plain), ("", plain)):
        watcher = Watcher(1, query)
        asyncio.run(watcher.watch(Stream(newest, Settings())))
        assert alike(watcher.taken[0], expected)


def test_a_wish_that_is_not_understood_is_refused(newest: Newest):
    watcher = Watcher(1, "heat=very")
    asyncio.run(watcher.watch(Stream(newest, Settings())))
    assert watcher.status == 400


def test_a_wide_frame_is_scaled_down_and_a_small_one_stays(newest: Newest):
    shot = newest.now()
    assert decode(jpeg(shot, 320), "").shape == (240, 320, 3)
    assert decode(jpeg(shot, 5000), "").shape == (480, 640, 3)


def test_a_frame_is_encoded_once_for_all_and_only_if_asked(
    newest: Newest, sighting: Sighting, monkeypatch: pytest.MonkeyPatch
):
    encoded = []

    def counting(seen: Shot | str, width: int, heat: bool) -> bytes:
        encoded.append(heat)
        return b"jpeg"

    monkeypatch.setattr(stream, "jpeg", counting)

    async def many() -> None:
        encoder = Encoder(newest, 320)
        assert encoded == []
        await asyncio.gather(*(encoder.picture(heat) for heat in [True, False] * 5))
        assert sorted(encoded) == [False, True]
        newest.show(sighting, "")
        await encoder.picture(False)
        assert len(encoded) == 3

    asyncio.run(many())


def test_only_so_many_may_watch_and_a_place_is_given_back(newest: Newest):
    async def crowd() -> None:
        app = Stream(newest, Settings(streams=2, stream_fps=1000))
        first, second, third = Watcher(3), Watcher(3), Watcher(1)
        watching = [asyncio.create_task(each.watch(app)) for each in (first, second)]
        while app.watchers < 2:
            await asyncio.sleep(0)
        await third.watch(app)
        assert third.status == 503
        await asyncio.gather(*watching)
        assert app.watchers == 0
        fourth = Watcher(1)
        await fourth.watch(app)
        assert fourth.status == 200

    asyncio.run(crowd())


def test_the_stream_ends_with_the_preview(newest: Newest):
    def end(taken: int) -> None:
        newest.ended = True

    watcher = Watcher(1000, then=end)
    asyncio.run(watcher.watch(Stream(newest, Settings(stream_fps=1000))))
    assert len(watcher.taken) == 1


def test_colours_survive(sighting: Sighting):
    image = np.full((480, 640, 3), (200, 40, 20), np.uint8)
    frame = dataclasses.replace(sighting.frame, image=image)
    shot = Shot(dataclasses.replace(sighting, frame=frame), "", 0.0)
    red = cv2.mean(decode(jpeg(shot, 640), ""))
    assert red[0] > 190
    assert red[2] < 40
