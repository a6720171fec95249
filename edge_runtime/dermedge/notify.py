"""Tell systemd that the service is up and still at work: sd_notify, as in sd_notify(3)."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from dermedge.closing import Closing

# Where systemd puts the address for a unit of Type=notify.
VARIABLE = "NOTIFY_SOCKET"

_EVERY_S = 5.0  # each message wakes systemd, which need not hear of every frame


class Notifier(Closing):
    """Reports to systemd; without an address, as everywhere but in a service, it says nothing.

    A message that systemd doesn't take is dropped: a camera must not wait for its supervisor.
    """

    def __init__(self, address: str | None, every_s: float = _EVERY_S) -> None:
        """Open nothing yet.

        Args:
            address: What `VARIABLE` holds: a path, or `@name` in the abstract namespace.
            every_s: Least time between two messages, seconds; far below the unit's WatchdogSec.
        """
        # In the kernel an abstract address begins with a zero byte, in the variable with @.
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._every_s = every_s
        self._next: float | None = None

    def beat(self) -> None:
        """The loop has come round once more: first READY=1, later WATCHDOG=1 now and then."""
        now = time.monotonic()
        if self._next is not None and now < self._next:
            return
        self._send(b"READY=1\nWATCHDOG=1" if self._next is None else b"WATCHDOG=1")
        self._next = now + self._every_s

    def close(self) -> None:
        """Say that the service is about to end."""
        self._send(b"STOPPING=1")

    def _send(self, message: bytes) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(message, self._address)
