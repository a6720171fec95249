"""Who is told what, in which order."""

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer import BadParameter

from dermedge.audience import Audience
from dermedge.cli_capture import capture
from dermedge.live import Sighting

SEEN = cast(Sighting, SimpleNamespace(frame=SimpleNamespace(image="pixels"), time="now"))


class Ear:
    """Record, page, broker or window, which notes what it is told."""

    def __init__(self, said: list, name: str, goes_on: bool = True) -> None:
        self.said, self.name, self.goes_on = said, name, goes_on

    def tell(self, line: dict) -> None:
        self.said.append((self.name, line))

    def add(self, line: dict, image: str, time: str) -> dict:
        self.said.append((self.name, line, image, time))
        return {**line, "sequence": 1}

    def show(self, sighting: Sighting, remark: str) -> bool:
        self.said.append((self.name, remark))
        return self.goes_on

    def show_nothing(self, reason: str) -> bool:
        return self.goes_on

    def asked(self) -> bool:
        return True


def audience(said: list, **goes_on: bool) -> Audience:
    names = ("recorder", "preview", "publisher", "window")
    return Audience(*(cast(Any, Ear(said, name, goes_on.get(name, True))) for name in names))


def test_a_captured_judgement_is_recorded_before_anybody_hears_of_it():
    said: list = []
    line = audience(said).tell({"capture": "key"}, SEEN)
    assert line == {"capture": "key", "sequence": 1}
    assert said == [
        ("recorder", {"capture": "key"}, "pixels", "now"),
        ("preview", line),
        ("publisher", line),
    ]


def test_page_and_broker_do_not_hear_of_every_frame():
    said: list = []
    audience(said).tell({"frame": 1}, SEEN)
    assert [name for name, *_ in said] == ["recorder"]


def test_all_see_each_frame_and_the_window_may_end_it():
    said: list = []
    assert audience(said).show(SEEN, "unsigned")
    assert said == [(name, "unsigned") for name in ("preview", "publisher", "window")]
    assert not audience(said, window=False).show(SEEN, "")
    assert len(said) == 6


def test_nobody_is_an_audience_too():
    assert Audience().tell({"frame": 1}, SEEN) == {"frame": 1}
    assert Audience().show(SEEN, "")
    assert Audience().buttons == {}


def test_the_button_of_the_page_captures_without_being_asked_for():
    pressed = {"web": False, "mqtt": False}
    buttons = {name: lambda name=name: pressed[name] for name in pressed}
    with ExitStack() as stack:
        captures = capture(stack, (), buttons)
        assert captures.of(SEEN) == {}  # told, not captured
        pressed["web"] = True
        assert captures.of(SEEN) == {"capture": "web"}
        only = capture(stack, ("mqtt",), buttons)
        assert only.of(SEEN) == {"capture": "web"}
        pressed["web"] = False
        assert only.of(SEEN) is None
        pressed["mqtt"] = True
        assert only.of(SEEN) == {"capture": "mqtt"}


def test_a_wish_of_while_nothing_was_seen_is_forgotten():
    said: list = []
    heard = Ear(said, "window")
    asked = iter([True])
    heard.asked = lambda: next(asked)  # type: ignore[method-assign]
    assert Audience(window=cast(Any, heard)).show_nothing("gone")
    assert list(asked) == []


@pytest.mark.parametrize("how", ["web", "mqtt"])
def test_a_button_that_is_not_there_is_named(how: str):
    with ExitStack() as stack, pytest.raises(BadParameter, match=f"add --{how}"):
        capture(stack, (how,), {})
