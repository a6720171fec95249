from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import window
from dermedge.bundle import open_bundle
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
    return Sighting(Frame(1, image, 0.0), diagnosis, probability, *said, 12.0, 0, now)


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
    assert drawn.shape[0] <= 640 + 120
    middle = drawn[56 + (drawn.shape[0] - 120) // 2, drawn.shape[1] // 2]
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

    monkeypatch.setattr(window.cv2, "putText", note)
    small = np.zeros((32, 16, 3), np.uint8)
    seen = Diagnostician(open_bundle(tiny_bundles[0]), threads=1).diagnose(small)
    window.annotate(sighting(small, seen, Verdict.REFER))
    assert written == [
        ("REFER  0.87", True),
        ("quality: too small: 16 pixels, at least 64", True),
        ("research software, not a medical device", True),
    ]
    written.clear()
    window.annotate(sighting(small, seen, Verdict.REFER), "threshold 0.250 set by the user")
    assert written[2:] == [
        ("threshold 0.250 set by the user", True),
        ("research software, not a medical device", True),
    ]


def test_no_camera_is_not_shown_as_a_picture(monkeypatch: pytest.MonkeyPatch):
    written = []
    monkeypatch.setattr(window.cv2, "putText", lambda image, text, *rest: written.append(text))
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
