import io

import pytest

from dermedge import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock: list[float], stage: str, total: int, step: float) -> None:
    with progress.drawn() as draw:
        draw(stage, 0, total)
        for done in range(1, total + 1):
            clock[0] += step
            draw(stage, done, total)


def test_work_under_two_seconds_is_silent(clock: list[float], capsys: pytest.CaptureFixture):
    run(clock, "quick", 10, 0.1)
    assert capsys.readouterr() == ("", "")


def test_longer_work_tells_the_time_left_on_standard_error(
    clock: list[float], capsys: pytest.CaptureFixture
):
    run(clock, "slow", 40, 1.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "slow: 2 of 40, 0:38 left",
        "slow: 12 of 40, 0:28 left",
        "slow: 22 of 40, 0:18 left",
        "slow: 32 of 40, 0:08 left",
        "slow: 40 of 40, took 0:40",
    ]


def test_every_stage_is_timed_on_its_own(clock: list[float], capsys: pytest.CaptureFixture):
    with progress.drawn() as draw:
        for stage in ("one", "two"):
            draw(stage, 0, 2)
            clock[0] += 5
            draw(stage, 1, 2)
            clock[0] += 5
            draw(stage, 2, 2)
    assert capsys.readouterr().err.splitlines() == [
        "one: 1 of 2, 0:05 left",
        "one: 2 of 2, took 0:10",
        "two: 1 of 2, 0:05 left",
        "two: 2 of 2, took 0:10",
    ]


def test_work_without_steps_is_silent(capsys: pytest.CaptureFixture):
    with progress.drawn() as draw:
        draw("nothing", 0, 0)
    progress.silent("nothing", 0, 0)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_for_each_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with progress.drawn() as draw:
        for stage in ("reading", "judging"):
            draw(stage, 1, 2)
            draw(stage, 2, 2)
    assert "judging" in screen.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75.2, "1:15"), (3600, "60:00")])
def test_the_clock_shows_minutes_and_seconds(seconds: float, text: str):
    assert progress.clock(seconds) == text
