"""A camera loop over a made-up camera that feeds a preview, as `kit camera --web` does."""

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from dermedge import basis
from dermedge.bundle import Bundle, open_bundle
from dermedge.camera import opener
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.image import RGB
from dermedge.live import Listener, Sighting, entry, watch
from dermedge.model import Outputs
from dermedge.trigger import Asked
from dermedge.web.desk import Desk
from dermedge.web.newest import Newest
from dermedge.web.preview import Preview
from dermedge.web.routes import application
from dermedge.web.settings import Settings
from dermedge.web.state import Parts
from dermedge.web.vitals import Vital, Vitals

PORT = 8077
TOKEN = "a-token-of-the-tests-only"
VITAL = Vital(51.4, False, "enough, and not throttled since the start")


class Mapped(Diagnostician):
    """Also gives a map: the middle speaks for the second class."""

    def diagnose(self, image: RGB) -> Diagnosis:
        found = super().diagnose(image)
        middle = np.zeros((9, 9), np.float32)
        middle[3:6, 3:6] = 8.0
        outputs = Outputs(found.outputs.scores, np.stack([-middle, middle], -1))
        return dataclasses.replace(found, outputs=outputs)


@pytest.fixture(scope="session")
def bundle(tiny_bundles: tuple[Path, Path]) -> Bundle:
    return open_bundle(tiny_bundles[0])


@pytest.fixture
def judge(bundle: Bundle) -> Diagnostician:
    return Mapped(bundle, threads=1)


@pytest.fixture
def sighting(judge: Diagnostician) -> Sighting:
    """One judged frame of the made-up camera."""
    with closing(watch(opener("fake:")(), judge)) as loop:
        return next(loop)


@dataclasses.dataclass
class Site:
    """The application without a network, and the loop's side of it."""

    newest: Newest
    desk: Desk
    app: Callable
    refused: Counter[str]
    settings: Settings
    focus: threading.Event

    def client(self, token: str = "", **given) -> TestClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = f"http://127.0.0.1:{PORT}"
        return TestClient(self.app, base, headers=headers, raise_server_exceptions=False, **given)


@pytest.fixture
def site(bundle: Bundle) -> Iterator[Callable[..., Site]]:
    """Makes a site with settings of the test's own."""
    desks = []

    def make(**given) -> Site:
        settings = Settings(**{"port": PORT, "requests_per_s": 1e6, **given})
        refused: Counter[str] = Counter()
        newest = Newest(settings.stale_s)
        desk = Desk(lambda: Diagnostician(bundle, threads=1), settings.upload_pixels)
        desks.append(desk)
        vitals, focus = Vitals(lambda: VITAL), threading.Event()
        parts = Parts(settings, newest, desk, lambda: bundle.contract, vitals, focus)
        return Site(newest, desk, application(parts, refused), refused, settings, focus)

    yield make
    for desk in desks:
        desk.close()


Body = Callable[[], Awaitable[dict[str, Any]]]


async def _at_its_end() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def asked(
    app: Callable, path: str, token: str = "", method: str = "GET", body: Body = _at_its_end
) -> tuple[int, bytes]:
    """Status and body of the answer to a request that no client library has put right."""
    said: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    headers = {"Host": f"127.0.0.1:{PORT}", "Content-Type": "image/png"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": b"",
        "query_string": b"",
        "scheme": "http",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", PORT),
        "client": ("127.0.0.1", 50000),
    }
    asyncio.run(asyncio.wait_for(app(scope, body, send), 60))
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


@pytest.fixture
def ask() -> Callable:
    """See `asked`."""
    return asked


@contextmanager
def filming(preview: Preview, judge: Diagnostician, script: str = "fake:") -> Iterator[None]:
    """A camera loop in a thread that feeds the preview; a capture is a line."""
    stop = threading.Event()
    trigger = Asked("web", preview.asked)
    open_camera = opener(script)

    def run() -> None:
        def idle(reason: str) -> None:
            preview.show_nothing(reason)

        feed = open_camera()
        for each in watch(feed, judge, stop=stop, reopen=open_camera, listener=Listener(idle=idle)):
            if trigger.fired(each):
                preview.tell({**entry(each, "tests"), "capture": trigger.name})
            preview.show(each, basis.remark(judge.contract, judge.bundle.signature))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def film() -> Callable:
    """See `filming`."""
    return filming
