import dataclasses
import sys

import pytest

from dermedge.live import Sighting
from dermedge.web.newest import RESULTS, Newest, Shot


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_before_the_first_frame_there_is_none():
    assert Newest(5.0).now() == "waiting for the first frame"


def test_the_newest_frame_is_shown_and_no_older_one_is_held(sighting: Sighting):
    newest = Newest(5.0)
    old = dataclasses.replace(sighting)
    newest.show(old, "")
    newest.show(sighting, "unsigned")
    found = newest.now()
    assert isinstance(found, Shot)
    assert found.sighting is sighting
    assert found.remark == "unsigned"
    assert sys.getrefcount(old) == 2  # this function's, and that of the call


def test_an_old_frame_does_not_pass_for_the_present(sighting: Sighting, clock: Clock):
    newest = Newest(5.0, clock)
    newest.show(sighting, "")
    clock.now += 5.0
    assert isinstance(newest.now(), Shot)
    clock.now += 0.1
    assert newest.now() == "no frame was judged for 5 s"
    assert newest.rate == 0.0


def test_a_camera_that_is_gone_shows_no_picture(sighting: Sighting):
    newest = Newest(5.0)
    newest.show(sighting, "")
    newest.show_nothing("unplugged")
    assert newest.now() == "unplugged"


def test_only_the_last_results_are_held():
    newest = Newest(5.0)
    for number in range(RESULTS + 5):
        newest.tell({"frame": number})
    assert [line["frame"] for line in newest.results] == list(range(RESULTS + 4, 4, -1))


def test_one_wish_is_one_capture():
    newest = Newest(5.0)
    assert newest.asked() is False
    newest.ask()
    newest.ask()
    assert [newest.asked(), newest.asked()] == [True, False]


def test_rate_and_sums_follow_the_frames(sighting: Sighting, clock: Clock):
    newest = Newest(5.0, clock)
    for _ in range(41):
        clock.now += 0.1
        newest.show(sighting, "")
    assert newest.rate == pytest.approx(10.0)
    assert newest.tally.judged == 41
    assert newest.tally.latency_s == pytest.approx(41 * sighting.diagnosis.latency_ms / 1000)
