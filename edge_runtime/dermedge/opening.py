"""A camera is opened without being waited for: it may take many seconds, and be asked to stop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from dermedge.source import Source

_POLL_S = 0.1  # how soon `stop` is noticed


def opened(open_source: Callable[[], Source], stop: threading.Event) -> Source | None:
    """Open a source in a thread of its own; None if `stop` is set before it is open.

    What is being opened then is left behind, as a driver can't be interrupted: for the end of the
    process.

    Args:
        open_source: Opens it.
        stop: Ends the waiting; may be set in a signal handler.

    Raises:
        Exception: Whatever `open_source` raises.
    """
    found: queue.SimpleQueue[Source | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put(open_source())
        except BaseException as error:
            found.put(error)

    threading.Thread(target=run, name="dermedge-opening", daemon=True).start()
    while not stop.is_set():
        with suppress(queue.Empty):
            result = found.get(timeout=_POLL_S)
            if isinstance(result, BaseException):
                raise result
            return result
    return None
