import threading
from pathlib import Path

import numpy as np
import pytest

from dermedge.bundle import open_bundle
from dermedge.decide import Verdict, decide
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import CameraError, InputError
from dermedge.image import RGB
from dermedge.live import entry, watch

SMALL = np.zeros((32, 32, 3), np.uint8)  # below the contract's min_side: not assessable


class Scripted:
    """A source that gives frames, or raises what stands in its script."""

    name, interval, skipped = "scripted", 0.0, ()

    def __init__(self, *script: RGB | Exception) -> None:
        self.script = iter(script)
        self.closed = threading.Event()

    def read(self) -> RGB | None:
        item = next(self.script, None)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed.set()


class Stepped(Scripted):
    """A camera that hands out a frame for each permit; `asked` counts its reads."""

    def __init__(self, image: RGB, permits: int) -> None:
        super().__init__()
        self.image = image
        self.permits = threading.Semaphore(permits)
        self.changed = threading.Condition()
        self.asked = 0

    def read(self) -> RGB | None:
        with self.changed:
            self.asked += 1
            self.changed.notify_all()
        self.permits.acquire()
        return None if self.closed.is_set() else self.image

    def wait_until_asked(self, times: int) -> None:
        """Once read number `times` began, the frames before it are in the loop's hands."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.asked >= times, timeout=60)

    def end(self) -> None:
        self.closed.set()
        self.permits.release(1000)


class Slow(Diagnostician):
    """While it judges one frame, the camera takes ten more."""

    camera: Stepped
    judged = 0

    def diagnose(self, image: RGB) -> Diagnosis:
        self.judged += 1
        self.camera.permits.release(10)
        self.camera.wait_until_asked(2 + 10 * self.judged)
        return super().diagnose(image)


@pytest.fixture
def judge(tiny_bundles: tuple[Path, Path]) -> Diagnostician:
    return Diagnostician(open_bundle(tiny_bundles[0]), threads=1)


def one_by_one(source: Stepped, judge: Diagnostician, images: list[RGB]) -> list:
    """Judge each of `images`: the next one is shown only after the one before was judged."""
    seen = []
    loop = watch(source, judge, frames=len(images))
    for image in images:
        source.image = image
        source.permits.release()
        seen.append(next(loop))
    source.end()
    loop.close()
    return seen


def test_the_newest_frame_wins(tiny_bundles: tuple[Path, Path], photo: RGB):
    judge = Slow(open_bundle(tiny_bundles[0]), threads=1)
    judge.camera = Stepped(photo, permits=1)
    loop = watch(judge.camera, judge, frames=4)
    seen = [next(loop) for _ in range(4)]
    judge.camera.end()
    loop.close()
    # Ten frames came while one was judged: the tenth is taken, nine are dropped.
    assert [sighting.frame.number for sighting in seen] == [1, 11, 21, 31]
    assert [sighting.dropped for sighting in seen] == [9, 18, 27, 36]
    captured = [sighting.frame.captured for sighting in seen]
    assert captured == sorted(captured)


def test_age_counts_from_capture_to_verdict(judge: Diagnostician, photo: RGB):
    (sighting,) = watch(Scripted(photo), judge)
    assert sighting.age_ms >= sighting.diagnosis.latency_ms > 0


def test_the_last_frame_of_a_replay_is_judged_and_then_it_ends(judge: Diagnostician, photo: RGB):
    source = Scripted(photo, photo, photo)
    numbers = [sighting.frame.number for sighting in watch(source, judge)]
    assert numbers[-1] == 3
    assert source.closed.is_set()


def test_probability_is_averaged_over_the_last_frames(judge: Diagnostician, photo: RGB):
    images = [photo, 255 - photo, photo // 2]
    seen = one_by_one(Stepped(photo, permits=0), judge, images)
    alone = [judge.diagnose(image).probability for image in images]
    for count, sighting in enumerate(seen, start=1):
        expected = float(np.mean(alone[:count]))
        assert sighting.smoothed_probability == pytest.approx(expected)
        assert sighting.smoothed_verdict is decide(expected, judge.contract.decision)


def test_frames_that_are_not_assessable_do_not_enter(judge: Diagnostician, photo: RGB):
    first, second, third = one_by_one(Stepped(photo, 0), judge, [SMALL, photo, SMALL])
    assert first.smoothed_probability is None
    assert first.smoothed_verdict is Verdict.NOT_ASSESSABLE
    assert second.smoothed_probability == pytest.approx(second.diagnosis.probability)
    assert third.diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert third.smoothed_probability == second.smoothed_probability


def test_nothing_lingers_of_a_lesion_out_of_sight(judge: Diagnostician, photo: RGB):
    seen = one_by_one(Stepped(photo, 0), judge, [photo, *[SMALL] * 5])
    assert seen[4].smoothed_probability is not None
    assert seen[5].smoothed_verdict is Verdict.NOT_ASSESSABLE


def test_a_camera_that_stops_says_how_many_frames_were_judged(judge: Diagnostician, photo: RGB):
    source = Scripted(photo, CameraError("camera 0 stopped giving frames."))
    loop = watch(source, judge)
    next(loop)
    with pytest.raises(CameraError, match=r"camera 0 stopped .*\. Frames judged before: 1\."):
        next(loop)
    assert source.closed.is_set()


def test_a_camera_that_falls_silent_has_stopped(
    judge: Diagnostician, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dermedge.grabber._JOIN_S", 0.0)
    source = Stepped(photo, permits=1)
    loop = watch(source, judge, patience_s=1)
    next(loop)
    with pytest.raises(CameraError, match=r"scripted: no frame for 1 s\. .* before: 1"):
        next(loop)
    source.end()


@pytest.mark.parametrize("error", [InputError("broken"), MemoryError("frame"), ValueError("x")])
def test_what_goes_wrong_in_the_thread_comes_out_of_the_loop(
    judge: Diagnostician, error: Exception
):
    source = Scripted(error)
    with pytest.raises(type(error), match=str(error)):
        next(watch(source, judge))
    assert source.closed.is_set()


def test_closing_the_loop_ends_the_thread_and_releases_the_source(judge: Diagnostician, photo: RGB):
    before = set(threading.enumerate())
    source = Scripted(*[photo] * 10)
    source.interval = 1000.0  # the thread is waiting for the next frame when it is stopped
    loop = watch(source, judge)
    next(loop)
    assert len(set(threading.enumerate()) - before) == 1
    loop.close()
    assert set(threading.enumerate()) <= before
    assert source.closed.is_set()


def test_an_error_of_the_judge_releases_the_source(
    judge: Diagnostician, photo: RGB, monkeypatch: pytest.MonkeyPatch
):
    def fail(image: RGB) -> Diagnosis:
        raise RuntimeError("no memory for tensors")

    monkeypatch.setattr(judge, "diagnose", fail)
    source = Scripted(photo)
    with pytest.raises(RuntimeError, match="tensors"):
        next(watch(source, judge))
    assert source.closed.is_set()


def test_stop_ends_the_loop_while_no_frame_comes(judge: Diagnostician, photo: RGB):
    source, stop = Scripted(photo, photo), threading.Event()
    source.interval = 1000.0
    loop = watch(source, judge, stop=stop)
    next(loop)
    stop.set()
    assert list(loop) == []
    assert source.closed.is_set()


def test_frames_is_the_number_judged(judge: Diagnostician, photo: RGB):
    assert len(list(watch(Scripted(*[photo] * 3), judge, frames=1))) == 1


def test_an_entry_says_which_rule_and_bundle_decided(
    judge: Diagnostician, tiny_bundles: tuple[Path, Path], photo: RGB
):
    bundle = open_bundle(tiny_bundles[0])
    (sighting,) = watch(Scripted(photo), judge)
    line = entry(sighting, "x 1")
    assert line["bundle"] == bundle.sha256
    assert (line["threshold"], line["chosen_for"]) == (0.4, "sensitivity>=0.90")
    assert line["decision"] == sighting.diagnosis.verdict.value
    assert line["time"].endswith("+00:00")
    assert (line["agreeing"], line["averaged"]) == (1, 1)


def test_the_first_frames_of_a_view_say_how_few_they_are(judge: Diagnostician, photo: RGB):
    seen = one_by_one(Stepped(photo, 0), judge, [photo, SMALL, photo, photo])
    assert [sighting.averaged for sighting in seen] == [1, 1, 2, 3]
    assert [sighting.agreeing for sighting in seen] == [1, 1, 2, 3]
