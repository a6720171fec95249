import threading

import pytest

from dermedge.errors import CameraError
from dermedge.opening import opened


class Source:
    name, interval, skipped = "a source", 0.0, ()

    def read(self) -> None:
        return None

    def close(self) -> None:
        pass


def test_what_was_opened_is_handed_over():
    source = Source()
    assert opened(lambda: source, threading.Event()) is source


def test_what_goes_wrong_is_raised_as_it_is():
    def fails() -> Source:
        raise CameraError("it is in use")

    with pytest.raises(CameraError, match="it is in use"):
        opened(fails, threading.Event())


def test_a_wish_to_stop_is_not_kept_waiting_by_a_driver_that_hangs():
    let_go, stop = threading.Event(), threading.Event()

    def hangs() -> Source:
        stop.set()  # as a signal handler does, meanwhile
        let_go.wait(60)
        return Source()

    assert opened(hangs, stop) is None
    let_go.set()
