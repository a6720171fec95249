"""What the API answers, and what it refuses of an upload."""

import asyncio
import dataclasses
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx2
import pytest

from dermedge import answer, image
from dermedge.bundle import Bundle
from dermedge.contract import NOTICE
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError
from dermedge.image import RGB
from dermedge.live import Sighting
from dermedge.web.desk import PLACES

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def png(photo: RGB) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1].tobytes()


def problem(found) -> str:
    assert found.headers["content-type"] == "application/problem+json"
    body = found.json()
    assert body["status"] == found.status_code
    assert "Traceback" not in found.text
    return body["detail"]


def test_the_present_judgement_is_told_with_notice_and_device(site: Callable, sighting: Sighting):
    place = site()
    place.newest.show(sighting, "this model is unsigned")
    place.newest.tell({"frame": 7, "decision": "clear"})
    found = place.client().get("/api/last").json()
    assert found["notice"] == NOTICE
    assert found["judgement"]["decision"] == sighting.smoothed_decision
    assert found["judgement"]["probability"] == sighting.smoothed_probability
    assert found["judgement"]["quality"] == sighting.diagnosis.quality.verdict
    assert found["judgement"]["remark"] == "this model is unsigned"
    assert found["judgement"]["heat_map"] is True
    assert found["results"] == [{"frame": 7, "decision": "clear"}]
    assert found["device"]["temperature_c"] == 51.4
    assert found["device"]["throttled"] is False


def test_without_a_camera_there_is_no_judgement(site: Callable, sighting: Sighting):
    place = site()
    place.newest.show(sighting, "")
    place.newest.show_nothing("fake camera: unplugged")
    found = place.client().get("/api/last").json()
    assert found["judgement"] is None
    assert found["reason"] == "fake camera: unplugged"
    assert found["notice"] == NOTICE


def test_health_follows_the_frames(site: Callable, sighting: Sighting):
    place = site()
    assert place.client().get("/healthz").status_code == 503
    place.newest.show(sighting, "")
    assert place.client().get("/healthz").json() == {"status": "ok"}
    place.newest.show_nothing("unplugged")
    assert problem(place.client().get("/healthz")) == "unplugged"


def test_a_capture_is_asked_for(site: Callable, sighting: Sighting):
    place = site()
    assert place.client().post("/api/capture").status_code == 503
    assert place.newest.asked() is False
    place.newest.show(sighting, "")
    assert place.client().post("/api/capture").status_code == 202
    assert place.newest.asked() is True


def test_a_focus_is_asked_for_once_there_is_a_camera(site: Callable, sighting: Sighting):
    place = site()
    found = place.client().post("/api/focus")
    assert found.status_code == 503
    assert problem(found).startswith("nothing can be focused: ")
    assert not place.focus.is_set()
    place.newest.show(sighting, "")
    assert place.client().get("/api/focus").status_code == 405
    assert not place.focus.is_set()
    assert place.client().post("/api/focus").json() == {"asked": True}
    assert place.focus.is_set()
    assert place.newest.asked() is False


def test_looking_captures_nothing(site: Callable, sighting: Sighting):
    place = site()
    place.newest.show(sighting, "")
    assert place.client().get("/api/capture").status_code == 405
    assert place.newest.asked() is False


def test_an_upload_is_judged_as_kit_diagnose_does(
    site: Callable, bundle: Bundle, png: bytes, tmp_path: Path
):
    found = site().client().post("/api/diagnose", content=png, headers=PNG)
    assert found.status_code == 200
    judged = Diagnostician(bundle, 1).diagnose(image.decode(png, "upload"))
    expected = json.loads(answer.as_json(Path("upload"), judged, bundle.contract, bundle.signature))
    said = found.json()
    assert said.pop("latency_ms") > 0
    expected.pop("latency_ms")
    assert said == expected


@pytest.mark.parametrize("body", [b"", b"no picture", b"GIF89a", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_photograph_is_refused(site: Callable, body: bytes):
    found = site().client().post("/api/diagnose", content=body, headers=PNG)
    assert found.status_code == 422
    assert problem(found).startswith("upload")


def test_a_bomb_of_pixels_is_refused(site: Callable):
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    head = (20_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    rows = zlib.compress(b"\0" * 100_000)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    found = site().client().post("/api/diagnose", content=bomb, headers=PNG)
    assert found.status_code == 422
    assert "megapixels" in problem(found)


def test_a_photograph_of_too_many_pixels_is_refused(site: Callable, photo: RGB, png: bytes):
    pixels = photo.shape[0] * photo.shape[1]
    found = site(upload_pixels=pixels - 1).client().post("/api/diagnose", content=png, headers=PNG)
    assert found.status_code == 422
    assert f"{photo.shape[1]} x {photo.shape[0]} is more than" in problem(found)
    found = site(upload_pixels=pixels).client().post("/api/diagnose", content=png, headers=PNG)
    assert found.status_code == 200


def test_a_photograph_whose_size_no_header_tells_is_refused(site: Callable, photo: RGB):
    tiff = cv2.imencode(".tif", photo)[1].tobytes()
    found = site().client().post("/api/diagnose", content=tiff, headers={"Content-Type": "image/"})
    assert found.status_code == 422
    assert "(JPEG, PNG or WebP)" in problem(found)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_a_foreign_form_could_send_is_refused(site: Callable, kind: str, png: bytes):
    found = site().client().post("/api/diagnose", content=png, headers={"Content-Type": kind})
    assert found.status_code == 415
    problem(found)


@pytest.mark.parametrize("length", ["101", "999999999999999999999", "-1", "1e3"])
def test_a_length_beyond_the_bound_is_refused_before_the_body(site: Callable, length: str):
    client = site(upload_bytes=100).client()
    found = client.post("/api/diagnose", content=b"x", headers={**PNG, "Content-Length": length})
    assert found.status_code == 413
    problem(found)


def test_a_body_without_a_length_is_bounded_while_it_comes(site: Callable):
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10_000:
            sent += 1
            yield b"x" * 64

    found = site(upload_bytes=1000).client().post("/api/diagnose", content=endless(), headers=PNG)
    assert found.status_code == 413


def test_a_slow_upload_is_given_up(site: Callable, ask: Callable):
    async def drop() -> dict:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    status, _ = ask(site(upload_s=0.05).app, "/api/diagnose", method="POST", body=drop)
    assert status == 408


def test_an_upload_that_breaks_off_gives_its_place_back(site: Callable, ask: Callable):
    async def gone() -> dict:
        return {"type": "http.disconnect"}

    place = site()
    for _ in range(2 * PLACES):
        status, _ = ask(place.app, "/api/diagnose", method="POST", body=gone)
        assert status == 400


def test_more_uploads_than_places_are_sent_away(
    site: Callable, png: bytes, monkeypatch: pytest.MonkeyPatch
):
    place = site()
    busy, go_on = threading.Semaphore(0), threading.Event()
    judge = place.desk._diagnose

    def slowly(data: bytes) -> str:
        busy.release()
        assert go_on.wait(60)
        return judge(data)

    monkeypatch.setattr(place.desk, "_diagnose", slowly)
    said: list[int] = []

    async def all_at_once() -> None:
        transport = httpx2.ASGITransport(place.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8077") as c:
            posts = [
                asyncio.create_task(c.post("/api/diagnose", content=png, headers=PNG))
                for _ in range(PLACES)
            ]
            await asyncio.to_thread(busy.acquire)
            while place.desk._taken < PLACES:
                await asyncio.sleep(0)
            found = await c.post("/api/diagnose", content=png, headers=PNG)
            assert found.status_code == 503
            assert int(found.headers["retry-after"]) > 0
            go_on.set()
            said.extend([(await post).status_code for post in posts])
            after = await c.post("/api/diagnose", content=png, headers=PNG)
            assert after.status_code == 200

    asyncio.run(all_at_once())
    assert said == [200] * PLACES


def test_a_model_that_can_not_be_built_is_told(site: Callable, png: bytes, monkeypatch):
    place = site()

    def broken() -> Diagnostician:
        raise BundleError("small.kit is broken")

    monkeypatch.setattr(place.desk, "_appoint", broken)
    found = place.client().post("/api/diagnose", content=png, headers=PNG)
    assert found.status_code == 503
    assert problem(found) == "small.kit is broken"


def test_a_fault_of_the_kit_shows_no_traceback(site: Callable, monkeypatch):
    place = site()

    def fault() -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(place.newest, "now", fault)
    found = place.client().get("/api/last")
    assert found.status_code == 500
    assert "secret words" not in found.text
    problem(found)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(site: Callable, method: str):
    found = site().client().request(method, "/api/last")
    assert found.status_code == 405
    assert "GET" in found.headers["allow"]
    problem(found)


def test_the_figures_for_prometheus(site: Callable, sighting: Sighting):
    place = site()
    seen = dataclasses.replace(sighting, dropped=4, losses=2)
    place.newest.show(seen, "")
    place.client().get("/", headers={"Host": "evil.example"})
    found = place.client().get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    from prometheus_client.parser import text_string_to_metric_families

    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(found.text)
        for sample in family.samples
    }
    assert values["dermkit_frames_judged_total"] == 1
    assert values["dermkit_frames_dropped_total"] == 4
    assert values["dermkit_camera_losses_total"] == 2
    assert values["dermkit_latency_seconds_sum"] == pytest.approx(seen.diagnosis.latency_ms / 1000)
    assert values["dermkit_age_seconds_sum"] == pytest.approx(seen.age_ms / 1000)
    assert values["dermkit_temperature_celsius"] == 51.4
    assert values["dermkit_throttled"] == 0
    assert values["dermkit_camera_up"] == 1
    assert values["dermkit_web_refused_total"] == 1
    assert values["dermkit_build_info"] == 1
