import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from dermedge import trigger
from dermedge.bundle import open_bundle
from dermedge.button import Button
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import InputError, MissingError
from dermedge.grabber import Frame
from dermedge.image import RGB
from dermedge.live import Sighting
from dermedge.trigger import Asked, Steady


@pytest.fixture
def good(tiny_bundles: tuple[Path, Path], photo: RGB) -> Diagnosis:
    return Diagnostician(open_bundle(tiny_bundles[0]), threads=1).diagnose(photo)


def sighting(found: Diagnosis, seconds: float, opening: int = 1) -> Sighting:
    frame = Frame(1, None, seconds, opening)  # type: ignore[arg-type] - nobody looks at it
    said = (found.verdict, found.decision)
    return Sighting(frame, found, None, *said, 1.0, 0, datetime.now(timezone.utc))


def fired_at(good: Diagnosis, marks: str, openings: str = "") -> list[int]:
    """Frames at which it fires; one each 0.1 s, `+` good, `-` not assessable."""
    found = Steady(hold_s=0.95, rest_s=0.45)
    bad = good.barred(("moving: hold still",))
    return [
        number
        for number, mark in enumerate(marks)
        if found.fired(
            sighting(
                good if mark == "+" else bad,
                number / 10,
                int(openings[number]) if openings else 1,
            )
        )
    ]


def test_a_steady_picture_is_captured_once(good: Diagnosis):
    assert fired_at(good, "+" * 40) == [10]


def test_a_bad_frame_begins_the_wait_anew(good: Diagnosis):
    assert fired_at(good, "++++-" + "+" * 20) == [15]


def test_it_is_captured_again_only_after_the_camera_was_taken_away(good: Diagnosis):
    assert fired_at(good, "+" * 12 + "-" * 2 + "+" * 20) == [10]
    assert fired_at(good, "+" * 12 + "-" * 8 + "+" * 20) == [10, 30]


def test_a_camera_that_was_gone_begins_anew(good: Diagnosis):
    assert fired_at(good, "+" * 30, "1" * 12 + "2" * 18) == [10, 22]


def test_what_was_asked_for_is_captured_once(good: Diagnosis):
    answers = iter([False, True, False])
    found = Asked("key", lambda: next(answers))
    assert [found.fired(sighting(good, 0.0)) for _ in range(3)] == [False, True, False]


@pytest.mark.skipif(os.name != "posix", reason="select on a terminal")
def test_enter_in_a_terminal_is_noticed_without_waiting():
    reading, writing = os.pipe()
    assert not trigger.entered(reading)
    os.write(writing, b"\n")
    assert trigger.entered(reading)
    assert not trigger.entered(reading)
    os.close(writing)
    assert not trigger.entered(reading)  # its end is no wish
    os.close(reading)


def test_a_button_is_pressed_once_and_gives_its_pin_back(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("gpiozero", reason="the extra gpio")
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory

    pins = MockFactory()
    monkeypatch.setattr(Device, "pin_factory", pins)
    button = Button(17)
    assert not button.pressed()
    pins.pin(17).drive_low()
    assert button.pressed()
    assert not button.pressed()  # held down is not pressed again
    with pytest.raises(InputError, match="GPIO 17"):
        Button(17)
    button.close()
    Button(17).close()
    with pytest.raises(InputError, match="GPIO 999"):
        Button(999)


def test_without_gpio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("gpiozero", reason="the extra gpio")
    from gpiozero import Device

    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "none")
    with pytest.raises(MissingError, match=r"no GPIO here.*group gpio"):
        Button()


def test_without_gpiozero_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(MissingError, match=r"dermkit-edge\[gpio\]"):
        Button()
