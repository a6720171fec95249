"""A thread that reads a source into a slot for one frame, and opens it again when it is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from dermedge.backoff import Backoff
from dermedge.errors import CameraError, KitError
from dermedge.image import RGB
from dermedge.motion import Change, Motion
from dermedge.source import Focusing, Source
from dermedge.tidings import Tidings

FROZEN_S = 5.0  # a sensor's noise changes some pixel of every frame

_POLL_S = 0.1  # how soon `stop` is noticed while no frame comes
_JOIN_S = 3.0
# One attempt to close and open a camera: the slowest that ends by itself takes 15 s (a network
# camera, see `dermedge.opencv`). One that hangs in a driver never ends: only a new process helps.
_ATTEMPT_S = 60.0
_SOUND_S = 10.0  # so long it has to run before the next loss counts as the first
# A frozen camera is opened anew after so long, then less often.
_THAW_S, _THAW_MOST_S = 30.0, 3600.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Attributes:
        number: 1 for the first frame that was grabbed, counting those dropped later.
        image: uint8 (height, width, 3), RGB.
        captured: `time.monotonic()` when the source handed it over, seconds.
        opening: 1 until the camera is first opened anew, then 2, ...
        shift: See `motion.Change`.
        frozen_s: Likewise; 0 in a replay.
        thumbnail: See `dermedge.thumbnail`; None if nobody has made it yet.
    """

    number: int
    image: RGB
    captured: float
    opening: int = 1
    shift: float | None = None
    frozen_s: float = 0.0
    thumbnail: RGB | None = None


class Grabber:
    """Keeps the newest frame of a source; a newer one overwrites it.

    Attributes:
        dropped: Frames overwritten so far because newer ones came.
        losses: How often the camera went.
        gone: Why there is no camera at this moment; empty while there is one.
    """

    def __init__(
        self,
        source: Source,
        reopen: Callable[[], Source] | None = None,
        focus: threading.Event | None = None,
    ) -> None:
        """Start the thread; it closes the source when it ends.

        Args:
            source: Open, at its first frame.
            reopen: Opens the camera again when it has gone, as often as it takes; without it, that
                is the end.
            focus: Whoever sets it asks the camera to focus; cleared once that is passed on.
        """
        self._focus = threading.Event() if focus is None else focus
        self.dropped = self.losses = 0
        self.gone = ""
        self._source, self._reopen = source, reopen
        self._interval, self._opening = source.interval, 1
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._ended = False
        self._error: Exception | None = None
        self._news = Tidings()
        self._backoff, self._motion = Backoff(), Motion()
        self._thaw_s, self._frozen = _THAW_S, False
        self._trying_since: float | None = None
        self._odd = ""  # what the last attempt has met that no camera of the kit's says
        self._thread = threading.Thread(target=self._run, name="dermedge-grabber", daemon=True)
        self._thread.start()

    def take(
        self,
        stop: threading.Event,
        patience_s: float,
        idle: Callable[[str], None] = lambda reason: None,
    ) -> Frame | None:
        """Wait for the newest frame and empty the slot; None at the end or once `stop` is set.

        Args:
            stop: Ends the waiting.
            patience_s: For how long a camera that is there may be silent, seconds.
            idle: Called with `gone` several times a second while the camera is.

        Raises:
            CameraError: No frame for `patience_s` seconds, or opening the camera again hangs.
            Exception: Whatever ended the thread, after the last frame was taken.
        """
        patience_s += self._interval
        give_up = time.monotonic() + patience_s
        while not stop.is_set():
            with self._changed:
                if self._slot is None and not self._ended:
                    self._changed.wait(_POLL_S)
                if self._slot is not None:
                    frame, self._slot = self._slot, None
                    return frame
                if self._ended:
                    return self._end()
                gone = self.gone
            if gone:
                self._refuse_to_hang()
                give_up = time.monotonic() + patience_s
                idle(gone)
            elif time.monotonic() > give_up:
                raise CameraError(
                    f"{self._source.name}: no frame for {patience_s - self._interval:g} s."
                )
        return None

    def news(self) -> list[str]:
        """What has happened to the camera since the last call, in words."""
        return self._news.take()

    def close(self) -> None:
        """End the thread; one that hangs in a driver is left behind after a few seconds."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _refuse_to_hang(self) -> None:
        since = self._trying_since
        if since is not None and time.monotonic() - since > _ATTEMPT_S:
            raise CameraError(
                f"{self._source.name}: to open it again has taken more than {_ATTEMPT_S:g} s; its "
                "driver hangs."
            )

    def _end(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._grab()
        except Exception as error:
            self._error = error
        finally:
            # Closed by the thread that reads: OpenCV may crash when another one releases it.
            self._release()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _grab(self) -> None:
        number, due, sound = 0, time.monotonic(), time.monotonic() + _SOUND_S
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                self._pass_on_focus()
                image = self._source.read()
            except CameraError as error:
                self._recover(f"{error}")
                sound = time.monotonic() + _SOUND_S
                continue
            if image is None:
                return
            number += 1
            due += self._interval
            captured = time.monotonic()
            if captured > sound:
                self._backoff.reset()
            self._put(number, image, captured)

    def _pass_on_focus(self) -> None:
        if not self._focus.is_set():
            return
        self._focus.clear()
        source = self._source
        done = isinstance(source, Focusing) and source.focus()
        self._news.tell(f"{source.name}: {'focusing' if done else 'has no focus to be moved'}")

    def _put(self, number: int, image: RGB, captured: float) -> None:
        change = self._motion.add(image, captured)
        frozen_s = 0.0 if self._interval else change.frozen_s  # photographs stand still
        seen = change.shift, frozen_s, self._motion.thumbnail
        frame = Frame(number, image, captured, self._opening, *seen)
        with self._changed:
            self.dropped += self._slot is not None
            self._slot = frame
            self._changed.notify_all()
        if not self._interval:
            self._remark(change, image)

    def _remark(self, change: Change, image: RGB) -> None:
        """Say what is odd about a camera's newest frame, and do something about it."""
        name = self._source.name
        if change.resized:
            height, width = image.shape[:2]
            self._news.tell(f"{name}: frames are {width} x {height} pixels from now on")
        if change.frozen_s < FROZEN_S:
            if self._frozen:
                self._news.tell(f"{name}: the picture moves again")
            self._frozen, self._thaw_s = False, _THAW_S
            return
        if not self._frozen:
            self._news.tell(f"{name}: the picture is frozen, nothing is judged until it moves")
            self._frozen = True
        if change.frozen_s >= self._thaw_s and self._reopen is not None:
            self._thaw_s = min(2 * self._thaw_s, change.frozen_s + _THAW_MOST_S)
            self._recover(f"{name}: the picture has been frozen for {change.frozen_s:.0f} s.")

    def _recover(self, reason: str) -> None:
        """Open the camera again, as often as it takes, with growing waits in between."""
        if self._reopen is None:
            raise CameraError(reason)
        began = time.monotonic()
        self.losses += 1
        self.gone = reason
        self._news.tell(f"{reason} Opening it again until it is back")
        with self._attempt():
            self._release()
        while not self._stop.wait(self._backoff.next_s()):
            if self._opened(self._reopen):
                self._opening += 1
                self.gone = self._odd = ""
                away_s = time.monotonic() - began
                self._news.tell(f"{self._source.name} is back after {away_s:.1f} s")
                return

    def _opened(self, reopen: Callable[[], Source]) -> bool:
        try:
            with self._attempt():
                self._source = reopen()
        except CameraError:
            return False
        except KitError:
            raise
        except Exception as error:  # a driver's or a library's own: one more attempt that failed
            if repr(error) != self._odd:
                self._odd = repr(error)
                self._news.tell(f"{self._source.name} can't be opened: {self._odd}")
            return False
        return True

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        self._trying_since = time.monotonic()
        try:
            yield
        finally:
            self._trying_since = None

    def _release(self) -> None:
        # A camera that was pulled out may well fail to close; what matters was said before.
        with suppress(Exception):
            self._source.close()
