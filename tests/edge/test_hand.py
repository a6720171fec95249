import threading

import pytest

from dermedge.hand import Hand


def test_whoever_asks_goes_on_and_the_next_work_waits():
    go, done = threading.Event(), []

    def slow() -> None:
        assert go.wait(10)
        done.append("first")

    with Hand("test") as hand:
        hand.begin(slow)
        hand.look()  # waits for nothing
        assert done == []
        threading.Timer(0.05, go.set).start()
        hand.begin(lambda: done.append("second"))
        assert done[0] == "first"
    assert done == ["first", "second"]


def fail() -> None:
    raise ValueError("broken")


def test_a_failure_is_told_by_the_next_call_and_once():
    done = []
    with Hand("test") as hand:
        hand.begin(fail)
        with pytest.raises(ValueError, match="broken"):
            hand.begin(lambda: done.append("never begun"))
        hand.begin(lambda: done.append("begun"))
        hand.begin(fail)
        with pytest.raises(ValueError, match="broken"):  # noqa: PT012
            while True:
                hand.look()
        hand.look()
    assert done == ["begun"]


def test_the_last_failure_is_told_by_closing_and_the_thread_ends():
    before = threading.active_count()
    hand = Hand("test")
    hand.begin(fail)
    with pytest.raises(ValueError, match="broken"):
        hand.close()
    assert threading.active_count() == before
