import threading
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import guide, heatmap, lettering, window
from dermedge.bundle import open_bundle
from dermedge.contract import Contract
from dermedge.decide import Verdict
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import MissingError
from dermedge.image import RGB
from dermedge.live import Frame, Sighting


@pytest.fixture
def diagnosis(tiny_bundles: tuple[Path, Path], photo: RGB) -> Diagnosis:
    return Diagnostician(open_bundle(tiny_bundles[0]), threads=1).diagnose(photo)


def sighting(image: RGB, diagnosis: Diagnosis, verdict: Verdict) -> Sighting:
    probability = None if verdict is Verdict.NOT_ASSESSABLE else 0.87
    now = datetime.now(timezone.utc)
    said = (verdict, verdict.value)
    counts = (0, 0) if probability is None else (5, 4)
    return Sighting(Frame(1, image, 0.0), diagnosis, probability, *said, 12.0, 0, now, 0, *counts)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_bar_has_the_colour_of_the_verdict(verdict: Verdict, diagnosis: Diagnosis, photo: RGB):
    drawn = window.annotate(sighting(photo, diagnosis, verdict))
    assert tuple(int(value) for value in drawn[2, 2]) == window.COLOURS[verdict]


@pytest.mark.parametrize("shape", [(120, 160), (2000, 300), (40, 3000), (3000, 4000), (1, 1)])
def test_any_frame_fits_and_is_left_untouched(shape: tuple[int, int], diagnosis: Diagnosis):
    image = np.full((*shape, 3), (200, 10, 10), np.uint8)
    drawn = window.annotate(sighting(image, diagnosis, Verdict.CLEAR))
    assert drawn.dtype == np.uint8
    assert 480 <= drawn.shape[1] <= 960
    assert drawn.shape[0] <= 640 + 56 + 12 + 3 * 26
    middle = drawn[56 + (drawn.shape[0] - 146) // 2, drawn.shape[1] // 2]
    assert tuple(int(value) for value in middle) == (200, 10, 10)  # still RGB, in its place
    assert (image == (200, 10, 10)).all()


def test_verdict_hint_and_notice_are_written_within_the_picture(
    monkeypatch: pytest.MonkeyPatch, tiny_bundles: tuple[Path, Path]
):
    written = []
    put = cv2.putText

    def note(canvas: RGB, text: str, at: tuple[int, int], font: int, scale: float, *rest: object):
        width = cv2.getTextSize(text, font, scale, 1)[0][0]
        written.append((text, at[0] + width <= canvas.shape[1]))
        return put(canvas, text, at, font, scale, (255, 255, 255), 1, cv2.LINE_AA)

    monkeypatch.setattr(lettering.cv2, "putText", note)
    small = np.zeros((32, 16, 3), np.uint8)
    seen = Diagnostician(open_bundle(tiny_bundles[0]), threads=1).diagnose(small)
    window.annotate(sighting(small, seen, Verdict.REFER))
    assert [text for text, _ in written[:-1]] == [
        "REFER  0.87",
        "4 of 5 frames agree",
        "quality: too small: 16 pixels, at least 64",
        "research software, not a medical device",
    ]
    assert "heat map" in written[-1][0]  # the keys
    assert all(fits for _, fits in written)
    written.clear()
    window.annotate(sighting(small, seen, Verdict.REFER), "threshold 0.250 set by the user")
    assert [text for text, _ in written[3:-1]] == [
        "threshold 0.250 set by the user",
        "research software, not a medical device",
    ]


@pytest.mark.parametrize("mode", ["stretch", "crop"])
def test_the_guide_is_drawn_on_the_picture_and_never_on_the_frame(
    mode: str, diagnosis: Diagnosis, photo: RGB, terms: Contract
):
    own = replace(terms, input=replace(terms.input, resize=mode))
    judged = replace(diagnosis, bundle=replace(diagnosis.bundle, contract=own))
    before, seen = photo.copy(), sighting(photo, judged, Verdict.CLEAR)
    drawn = window.annotate(seen)
    shown = window.fitted(photo)
    np.testing.assert_array_equal(drawn[56 : 56 + 640, :853], guide.draw(shown, own.input))
    np.testing.assert_array_equal(photo, before)


def test_the_heat_map_lies_over_the_picture_if_it_is_asked_for(
    diagnosis: Diagnosis, photo: RGB, terms: Contract, monkeypatch: pytest.MonkeyPatch
):
    written: list[str] = []
    monkeypatch.setattr(lettering.cv2, "putText", lambda image, text, *_: written.append(text))
    maps = np.random.default_rng(0).normal(0, 4, (3, 3, 2)).astype(np.float32)
    outputs = replace(diagnosis.outputs, map=maps)
    seen = sighting(photo, replace(diagnosis, outputs=outputs), Verdict.REFER)
    evidence = heatmap.evidence(outputs, terms)
    assert evidence is not None
    heated = heatmap.overlay(window.fitted(photo), evidence, terms.input)
    drawn = window.annotate(seen, heat=True)
    np.testing.assert_array_equal(drawn[56 : 56 + 640, :853], guide.draw(heated, terms.input))
    assert "yellow speaks for malignant, blue against" in written


def test_a_model_without_a_heat_map_says_so(
    diagnosis: Diagnosis, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    written: list[str] = []
    monkeypatch.setattr(lettering.cv2, "putText", lambda image, text, *_: written.append(text))
    window.annotate(sighting(photo, diagnosis, Verdict.REFER), heat=True)
    assert "this model gives no heat map" in written


def test_no_camera_is_not_shown_as_a_picture(monkeypatch: pytest.MonkeyPatch):
    written = []
    monkeypatch.setattr(lettering.cv2, "putText", lambda image, text, *_: written.append(text))
    drawn = window.nothing("camera 0 stopped giving frames.")
    assert tuple(int(value) for value in drawn[2, 2]) == window.COLOURS[Verdict.NOT_ASSESSABLE]
    assert written == ["NO CAMERA", "camera 0 stopped giving frames.", window.NOTICE]


def test_without_a_screen_the_error_names_the_way_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(window.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingError, match="--no-window"):
        window.Window()


def test_a_headless_opencv_is_named(monkeypatch: pytest.MonkeyPatch):
    def refuse(*asked: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.cv2, "namedWindow", refuse)
    with pytest.raises(MissingError, match="opencv-python-headless"):
        window.Window()


@pytest.mark.parametrize(
    ("key", "visible", "goes_on"),
    [
        (-1, 1.0, True),
        (ord(" "), 1.0, True),
        (ord("q"), 1.0, False),
        (27, 1.0, False),
        (-1, 0.0, False),
    ],
)
def test_q_esc_and_the_close_button_end_it(
    monkeypatch: pytest.MonkeyPatch,
    diagnosis: Diagnosis,
    photo: RGB,
    key: int,
    visible: float,
    goes_on: bool,
):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.cv2, "namedWindow", lambda *asked: None)
    monkeypatch.setattr(window.cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(window.cv2, "waitKey", lambda delay: key)
    monkeypatch.setattr(window.cv2, "getWindowProperty", lambda title, which: visible)
    monkeypatch.setattr(window.cv2, "destroyAllWindows", lambda: shown.append("closed"))
    with window.Window() as screen:
        assert screen.show(sighting(photo, diagnosis, Verdict.REFER)) is goes_on
        assert screen.show_nothing("gone") is goes_on
        assert screen.asked() is (key == ord(" "))
        assert not screen.asked()
    bar = tuple(int(value) for value in shown[0][2, 2])
    assert bar == window.COLOURS[Verdict.REFER][::-1]  # imshow takes BGR
    assert shown[2] == "closed"


def test_h_switches_the_heat_map_and_f_asks_for_focus(
    monkeypatch: pytest.MonkeyPatch, diagnosis: Diagnosis, photo: RGB
):
    shown, keys, focus = [], iter([ord("h"), -1, ord("h"), ord("f"), -1]), threading.Event()
    monkeypatch.setenv("DISPLAY", ":0")
    for name, stand_in in (
        ("namedWindow", lambda *asked: None),
        ("imshow", lambda title, image: shown.append(image)),
        ("waitKey", lambda delay: next(keys)),
        ("getWindowProperty", lambda title, which: 1.0),
        ("destroyAllWindows", lambda: None),
    ):
        monkeypatch.setattr(window.cv2, name, stand_in)
    outputs = replace(diagnosis.outputs, map=np.full((3, 3, 2), (0, 9), np.float32))
    seen = sighting(photo, replace(diagnosis, outputs=outputs), Verdict.REFER)
    asked = []
    with window.Window(focus=focus) as screen:
        for _ in range(5):
            assert screen.show(seen)
            asked.append(focus.is_set())
    heights = [image.shape[0] for image in shown]
    heated = [height > min(heights) for height in heights]  # one more line says how to read it
    assert heated == [False, True, True, False, False]
    assert asked == [False, False, False, True, True]
