"""The camera loop: the newest frame is judged, probabilities are smoothed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from dermedge import basis, scene
from dermedge.consensus import Consensus, Recent
from dermedge.decide import Verdict
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import CameraError
from dermedge.grabber import Frame, Grabber
from dermedge.source import Source

PATIENCE_S = 30.0

Inspect = Callable[[Frame], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of the camera; both are called in the thread that runs the loop.

    Attributes:
        news: Called with each thing that happens to it, in words: gone, back, frozen, resized.
        idle: Called several times a second while it is gone, with the reason.
    """

    news: Callable[[str], None] = lambda text: None
    idle: Callable[[str], None] = lambda reason: None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One judged frame.

    Attributes:
        frame: The frame that was judged.
        diagnosis: What the kit says of this frame alone.
        smoothed_probability: Mean over the recent assessable frames; None if there are none.
        smoothed_verdict: What these frames say together, see `dermedge.consensus`.
        smoothed_decision: The same in words; the name of a class that is named.
        age_ms: From the frame's capture to the verdict.
        dropped: Frames overwritten so far because newer ones came.
        time: When the verdict was ready, UTC.
        losses: How often the camera has gone so far.
        averaged: Number of frames that are averaged.
        agreeing: Of them, those whose own decision is that of the mean.
    """

    frame: Frame
    diagnosis: Diagnosis
    smoothed_probability: float | None
    smoothed_verdict: Verdict
    smoothed_decision: str
    age_ms: float
    dropped: int
    time: datetime
    losses: int = 0
    averaged: int = 0
    agreeing: int = 0


def watch(
    source: Source,
    diagnostician: Diagnostician,
    frames: int | None = None,
    smooth: int = 5,
    stop: threading.Event | None = None,
    patience_s: float = PATIENCE_S,
    reopen: Callable[[], Source] | None = None,
    inspect: Inspect = scene.frozen,
    listener: Listener | None = None,
    focus: threading.Event | None = None,
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
        patience_s: Without any frame for so long, the camera is taken to hang.
        reopen: Opens the camera again when it has gone, see `Grabber`; nothing is smoothed across
            such a gap. Without it, a camera that goes ends the loop.
        inspect: What is wrong with a frame in view of those before it, see `dermedge.scene`.
        listener: Hears of the camera.
        focus: Set it, from any thread, to have the camera focus; frames go on meanwhile.

    Raises:
        CameraError: The camera has stopped or hangs; says how many frames were judged before.
    """
    stop = threading.Event() if stop is None else stop
    listener = listener or Listener()
    recent = Recent(smooth)
    judged = 0
    grabber = Grabber(source, reopen, focus)

    def hear() -> None:
        for text in grabber.news():
            listener.news(text)

    def idle(reason: str) -> None:
        hear()  # that it went, not only once it is back
        listener.idle(reason)

    try:
        while judged != frames:
            frame = grabber.take(stop, patience_s, idle)
            hear()
            if frame is None:
                break
            diagnosis = diagnostician.diagnose(frame.image).barred(inspect(frame))
            judged += 1
            together = recent.add(diagnosis, frame.opening)
            yield _sighting(frame, diagnosis, together, grabber)
    except CameraError as error:
        raise CameraError(f"{error} Frames judged before: {judged}.") from error
    finally:
        grabber.close()


def entry(sighting: Sighting, runtime: str) -> dict[str, Any]:
    """One judged frame as JSON: a line of `kit camera --json` and of the record."""
    seen, bundle = sighting.diagnosis, sighting.diagnosis.bundle
    return {
        "frame": sighting.frame.number,
        "time": sighting.time.isoformat(timespec="milliseconds"),
        "probability": seen.probability,
        "smoothed_probability": sighting.smoothed_probability,
        "decision": seen.decision,
        "smoothed_decision": sighting.smoothed_decision,
        "averaged": sighting.averaged,
        "agreeing": sighting.agreeing,
        "quality": seen.quality.verdict,
        "novelty": None if seen.novelty is None else round(seen.novelty, 4),
        "latency_ms": round(seen.latency_ms, 2),
        "age_ms": round(sighting.age_ms, 2),
        "dropped": sighting.dropped,
        **basis.of(bundle.contract, bundle.signature),
        "bundle": bundle.sha256,
        "runtime": runtime,
    }


def _sighting(
    frame: Frame, diagnosis: Diagnosis, together: Consensus, grabber: Grabber
) -> Sighting:
    return Sighting(
        frame=frame,
        diagnosis=diagnosis,
        smoothed_probability=together.probability,
        smoothed_verdict=together.verdict,
        smoothed_decision=together.decision,
        age_ms=(time.monotonic() - frame.captured) * 1000,
        dropped=grabber.dropped,
        time=datetime.now(timezone.utc),
        losses=grabber.losses,
        averaged=together.averaged,
        agreeing=together.agreeing,
    )
