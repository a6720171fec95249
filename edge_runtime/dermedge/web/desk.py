"""Judges photographs that were uploaded, with an interpreter of its own, one after another."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from dermedge import answer, image
from dermedge.closing import Closing
from dermedge.diagnose import Diagnostician

PLACES = 3  # one is judged, the others wait, their bytes in memory

_NICE = 10
_NAME = Path("upload")  # stands for the file in the answer: the sender's own name is not asked for


class Desk(Closing):
    """One thread with a lower priority than the camera loop's, and a short queue before it."""

    def __init__(self, appoint: Callable[[], Diagnostician], most: int) -> None:
        """Open it.

        Args:
            appoint: Builds who judges, at the first upload: an interpreter serves one thread.
            most: Pixels that a photograph may have.
        """
        self._appoint, self._most = appoint, most
        self._judge: Diagnostician | None = None
        self._taken = 0
        self._thread = ThreadPoolExecutor(1, "dermedge-desk", initializer=_give_way)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place in the queue; False if there is none. For the server's own thread."""
        if self._taken >= PLACES:
            yield False
            return
        self._taken += 1
        try:
            yield True
        finally:
            self._taken -= 1

    async def diagnose(self, data: bytes) -> str:
        """Judge the bytes of one image file.

        Returns:
            The line of `kit diagnose --json`.

        Raises:
            ImageError: Not a JPEG, PNG or WebP, cut off, or too many pixels.
            KitError: The model can't be built.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._diagnose, data)

    def close(self) -> None:
        """Judge no more; a judgement that is going on ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _diagnose(self, data: bytes) -> str:
        pixels = image.decode(data, str(_NAME), self._most)
        judge = self._judge = self._judge or self._appoint()
        found = judge.diagnose(pixels)
        return answer.as_json(_NAME, found, judge.contract, judge.bundle.signature)


def _give_way() -> None:
    """Leave the processor to the camera loop; only Linux knows priorities of single threads."""
    if sys.platform == "linux":
        with suppress(OSError):  # a service may be forbidden to
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
