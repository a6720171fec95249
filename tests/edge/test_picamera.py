import sys
import types

import numpy as np
import pytest

from dermedge import camera
from dermedge.errors import CameraError, MissingError
from dermedge.image import RGB
from dermedge.picamera import PiCamera
from dermedge.source import Focusing, Wish

CONTINUOUS = "set {'AfMode': 2}"
COLOURS = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def pattern(width: int, height: int) -> RGB:
    """Red, green / blue, white quadrants, uint8 (height, width, 3), RGB."""
    quadrants = np.array(COLOURS, np.uint8).reshape(2, 2, 3)
    return quadrants.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def assert_pattern(frame: RGB | None) -> None:
    assert frame is not None
    height, width = frame.shape[:2]
    found = frame[height // 4 :: height // 2, width // 4 :: width // 2].reshape(4, 3)
    np.testing.assert_allclose(found, COLOURS, atol=12)


class FakePicamera2:
    """Delivers "RGB888" as the real one does: BGR in memory."""

    events: list[str] = []  # noqa: RUF012
    works = True
    camera_controls: dict = {"AfMode": (0, 2, 0)}  # noqa: RUF012

    def __init__(self, number: int) -> None:
        self.number = number

    def create_video_configuration(self, main: dict, controls: dict, queue: bool) -> dict:
        assert main["format"] == "RGB888"
        assert not queue
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict) -> None:
        self.events.append("configure")
        self.configuration = configuration

    def set_controls(self, controls: dict) -> None:
        if not self.works:
            raise RuntimeError("Camera is gone")
        self.events.append(f"set {controls}")

    def autofocus_cycle(self) -> bool:
        self.events.append("focus")
        return True

    def start(self) -> None:
        self.events.append("start")

    def capture_array(self, name: str) -> RGB:
        if not self.works:
            raise RuntimeError("Camera frontend has timed out!")
        rgb = pattern(*self.configuration[name]["size"])
        return np.ascontiguousarray(rgb[:, :, ::-1])

    def stop(self) -> None:
        self.events.append("stop")

    def close(self) -> None:
        self.events.append("close")


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    module = types.ModuleType("picamera2")
    found = type("Picamera2", (FakePicamera2,), {"events": []})
    module.Picamera2 = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return found


def test_the_pi_camera_gives_rgb_and_is_released(pi: type[FakePicamera2]):
    source = camera.open_source("picamera2")
    assert_pattern(source.read())
    source.close()
    assert pi.events == ["configure", "start", CONTINUOUS, "stop", "close"]


def test_size_pace_and_number_are_asked_for(pi: type[FakePicamera2]):
    source = camera.open_source("picamera2:1", Wish(size=(640, 480), fps=15))
    assert isinstance(source, PiCamera)
    assert source.name == "picamera2:1"
    frame = source.read()
    assert frame is not None
    assert frame.shape == (480, 640, 3)
    assert source._camera.number == 1
    assert source._camera.configuration["controls"] == {"FrameRate": 15}


def test_a_locked_camera_focuses_then_holds_exposure_and_white_balance(pi: type[FakePicamera2]):
    camera.open_source("picamera2", Wish(lock=True))
    held = "set {'AeEnable': False, 'AwbEnable': False}"
    assert pi.events == ["configure", "start", "set {'AfMode': 1}", "focus", held]


def test_a_fixed_lens_is_not_told_to_focus(
    pi: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pi, "camera_controls", {})
    camera.open_source("picamera2", Wish(lock=True))
    assert "focus" not in pi.events
    camera.open_source("picamera2")
    assert CONTINUOUS not in pi.events


def test_a_lens_that_moves_follows_by_itself_from_the_start(pi: type[FakePicamera2]):
    camera.open_source("picamera2")
    assert pi.events == ["configure", "start", CONTINUOUS]


@pytest.mark.parametrize("fails", ["stop", "close"])
def test_a_camera_that_can_neither_start_nor_stop_is_a_camera_error(
    pi: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch, fails: str
):
    def fail(camera: FakePicamera2) -> None:
        pi.events.append(fails)
        raise RuntimeError("Camera is not running")

    monkeypatch.setattr(pi, fails, fail)
    pi.works = False
    with pytest.raises(CameraError, match=r"can't start its camera: .* is gone"):
        camera.open_source("picamera2")
    assert pi.events[-2:] == ["stop", "close"]  # else nobody could open it again


def test_focus_on_demand_is_begun_and_not_waited_for(pi: type[FakePicamera2]):
    source = PiCamera()
    assert isinstance(source, Focusing)
    assert source.focus()
    assert pi.events[-1] == "set {'AfMode': 1, 'AfTrigger': 0}"
    assert "focus" not in pi.events  # the cycle that blocks


def test_a_fixed_lens_says_that_it_cannot_focus(
    pi: type[FakePicamera2], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pi, "camera_controls", {})
    assert not PiCamera().focus()
    assert pi.events == ["configure", "start"]


def test_a_camera_that_is_gone_when_it_is_to_focus_is_a_camera_error(pi: type[FakePicamera2]):
    source = PiCamera()
    pi.works = False
    with pytest.raises(CameraError, match="focus"):
        source.focus()


def test_a_pi_camera_that_times_out_is_a_camera_error(pi: type[FakePicamera2]):
    source = camera.open_source("picamera2")
    pi.works = False
    with pytest.raises(CameraError, match="timed out"):
        source.read()


def test_a_pi_camera_that_never_starts_is_released(pi: type[FakePicamera2]):
    pi.works = False
    with pytest.raises(CameraError, match="can't start"):
        camera.open_source("picamera2")
    assert pi.events[-1] == "close"


def test_a_pi_without_a_camera_says_what_to_check(monkeypatch: pytest.MonkeyPatch):
    module = types.ModuleType("picamera2")
    module.Picamera2 = lambda number: [][number]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    with pytest.raises(CameraError, match="check the ribbon"):
        camera.open_source("picamera2")


def test_without_picamera2_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(MissingError, match="python3 -m venv --system-site-packages"):
        camera.open_source("picamera2")
