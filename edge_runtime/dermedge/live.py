"""The camera loop: a thread grabs frames, the newest one wins, probabilities are smoothed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from dermedge import basis
from dermedge.bundle import Bundle
from dermedge.camera import Source
from dermedge.contract import Contract
from dermedge.decide import Judgement, Verdict, judge
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import CameraError
from dermedge.image import RGB

PATIENCE_S = 30.0

_POLL_S = 0.1  # how soon `stop` is noticed while no frame comes
_JOIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Attributes:
        number: 1 for the first frame that was grabbed, counting those dropped later.
        image: uint8 (height, width, 3), RGB.
        captured: `time.monotonic()` when the source handed it over, seconds.
    """

    number: int
    image: RGB
    captured: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """One judged frame.

    Attributes:
        frame: The frame that was judged.
        diagnosis: What the kit says of this frame alone.
        smoothed_probability: Mean over the recent assessable frames; None if there are none.
        smoothed_verdict: The contract's rule on the smoothed probabilities.
        smoothed_decision: The same in words; the name of a class that is named.
        age_ms: From the frame's capture to the verdict.
        dropped: Frames overwritten so far because newer ones came.
        time: When the verdict was ready, UTC.
    """

    frame: Frame
    diagnosis: Diagnosis
    smoothed_probability: float | None
    smoothed_verdict: Verdict
    smoothed_decision: str
    age_ms: float
    dropped: int
    time: datetime


def watch(
    source: Source,
    diagnostician: Diagnostician,
    frames: int | None = None,
    smooth: int = 5,
    stop: threading.Event | None = None,
    patience_s: float = PATIENCE_S,
) -> Generator[Sighting, None, None]:
    """Judge the newest frame of a source, again and again.

    Closing the generator, or leaving it in any other way, ends the thread and closes the source.

    Args:
        source: Where frames come from; from the first `next` on it belongs to the loop.
        diagnostician: Judges each frame, in the caller's thread.
        frames: Judge so many, then end; None: until the source ends or `stop` is set.
        smooth: Average the calibrated probabilities over the last so many judged frames, 1 or more;
            those not assessable do not enter, so nothing lingers of a lesion that is out of sight.
        stop: Ends the loop cleanly; may be set in a signal handler.
        patience_s: Without any frame for so long, the camera is taken to have stopped.

    Raises:
        CameraError: The camera has stopped; says how many frames were judged before.
    """
    stop = threading.Event() if stop is None else stop
    recent: deque[tuple[float, ...] | None] = deque(maxlen=smooth)
    judged, terms = 0, diagnostician.contract
    grabber = Grabber(source)
    try:
        while judged != frames and (frame := grabber.take(stop, patience_s)) is not None:
            diagnosis = diagnostician.diagnose(frame.image)
            if diagnostician.contract is not terms:  # another model: nothing of the one before
                terms = diagnostician.contract
                recent.clear()
            recent.append(diagnosis.probabilities if diagnosis.quality.ok else None)
            smoothed = _smoothed(recent, terms)
            judged += 1
            yield Sighting(
                frame=frame,
                diagnosis=diagnosis,
                smoothed_probability=smoothed.probability if smoothed else None,
                smoothed_verdict=smoothed.verdict if smoothed else Verdict.NOT_ASSESSABLE,
                smoothed_decision=(smoothed.decision if smoothed else Verdict.NOT_ASSESSABLE.value),
                age_ms=(time.monotonic() - frame.captured) * 1000,
                dropped=grabber.dropped,
                time=datetime.now(timezone.utc),
            )
    except CameraError as error:
        raise CameraError(f"{error} Frames judged before: {judged}.") from error
    finally:
        grabber.close()


def entry(sighting: Sighting, bundle: Bundle, runtime: str) -> dict[str, Any]:
    """One judged frame as JSON: a line of `kit camera --json` and of the record."""
    seen = sighting.diagnosis
    return {
        "frame": sighting.frame.number,
        "time": sighting.time.isoformat(timespec="milliseconds"),
        "probability": seen.probability,
        "smoothed_probability": sighting.smoothed_probability,
        "decision": seen.decision,
        "smoothed_decision": sighting.smoothed_decision,
        "quality": seen.quality.verdict,
        "latency_ms": round(seen.latency_ms, 2),
        "age_ms": round(sighting.age_ms, 2),
        "dropped": sighting.dropped,
        **basis.of(bundle.contract, bundle.signature),
        "bundle": bundle.sha256,
        "runtime": runtime,
    }


class Grabber:
    """Reads a source in its own thread into a slot for one frame; a newer one overwrites it."""

    def __init__(self, source: Source) -> None:
        """Start the thread; it closes the source when it ends."""
        self.dropped = 0
        self._source = source
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="dermedge-grabber", daemon=True)
        self._thread.start()

    def take(self, stop: threading.Event, patience_s: float) -> Frame | None:
        """Wait for the newest frame and empty the slot; None at the end or once `stop` is set.

        Raises:
            CameraError: No frame for `patience_s` seconds.
            Exception: Whatever ended the thread, after the last frame was taken.
        """
        give_up = time.monotonic() + self._source.interval + patience_s
        with self._changed:
            while not stop.is_set():
                if self._slot is not None:
                    frame, self._slot = self._slot, None
                    return frame
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                if time.monotonic() > give_up:
                    raise CameraError(f"{self._source.name}: no frame for {patience_s:g} s.")
                self._changed.wait(_POLL_S)
        return None

    def close(self) -> None:
        """End the thread; one that hangs in a driver is left behind after a few seconds."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            # Closed by the thread that reads: OpenCV may crash when another one releases it.
            with closing(self._source):
                self._grab()
        except Exception as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _grab(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            image = self._source.read()
            if image is None:
                return
            number += 1
            due += self._source.interval
            self._put(Frame(number, image, time.monotonic()))

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self.dropped += self._slot is not None
            self._slot = frame
            self._changed.notify_all()


def _smoothed(recent: Sequence[tuple[float, ...] | None], terms: Contract) -> Judgement | None:
    """What the mean of the known probabilities says; None where none is known."""
    known = [each for each in recent if each is not None]
    return judge(np.mean(known, axis=0), terms) if known else None
