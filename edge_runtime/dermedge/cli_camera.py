"""`kit camera`: judge what a camera sees, frame by frame, until it is stopped."""

from __future__ import annotations

import json
import signal
import statistics
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.options import BundleFile, Json, Threads

if TYPE_CHECKING:
    from dermedge.camera import Source
    from dermedge.live import Sighting
    from dermedge.window import Window

_Source = Annotated[
    str,
    typer.Option(
        help="0, /dev/videoN, rtsp://…, picamera2, a video file, or a folder of photographs."
    ),
]
_Frames = Annotated[int | None, typer.Option(min=1, help="Judge so many frames, then end.")]
_Window = Annotated[
    bool | None,
    typer.Option("--window/--no-window", help="Show the frames. [where there is a screen]"),
]
_Record = Annotated[Path | None, typer.Option(help="Append every line to this JSONL file.")]
_Smooth = Annotated[int, typer.Option(min=1, help="Average over the last so many judged frames.")]
_Fps = Annotated[float | None, typer.Option(help="Pace of a folder of photographs. [10]")]


def camera(
    bundle: BundleFile,
    source: _Source = "0",
    frames: _Frames = None,
    window: _Window = None,
    record: _Record = None,
    smooth: _Smooth = 5,
    threads: Threads = None,
    as_json: Json = False,
    fps: _Fps = None,
) -> None:
    """Judge what a camera sees; the newest frame is judged, older ones are dropped.

    Ctrl-C, SIGTERM, and q or Esc in the window end it cleanly, with exit code 0 and a summary on
    standard error. Every line carries the frame's age: from its capture to the verdict. With
    --json and --record the first line of a run also carries the notice. Research software, not a
    medical device.

    \b
    Example:
      kit camera small.kit
      kit camera small.kit --source picamera2 --no-window --record today.jsonl
      kit camera small.kit --source photos/ --fps 2 --frames 20 --no-window --json
    """
    from dermedge.bundle import open_bundle
    from dermedge.camera import open_source
    from dermedge.diagnose import Diagnostician
    from dermedge.live import entry, watch
    from dermedge.record import Journal

    opened = open_bundle(bundle)
    diagnostician = Diagnostician(opened, threads)
    notice = {"notice": opened.contract.notice}
    tally = _Tally()
    with ExitStack() as stack:
        journal = None if record is None else stack.enter_context(Journal(record))
        screen = None if window is False else _screen(stack, must=bool(window))
        feed = open_source(source, fps)
        stop = stack.enter_context(_stopping())
        sightings = watch(feed, diagnostician, frames, smooth, stop)
        for sighting in stack.enter_context(closing(sightings)):
            line = {**entry(sighting, opened), **({} if tally.judged else notice)}
            tally.add(sighting)
            if journal is not None:
                journal.append(line)
            typer.echo(json.dumps(line) if as_json else _plain(line))
            if screen is not None and not screen.show(sighting):
                break
    tally.tell(feed, opened.contract.notice)


def _screen(stack: ExitStack, must: bool) -> Window | None:
    """A window to show frames in; without a screen None and a line that says so, unless it must."""
    from dermedge.errors import MissingError
    from dermedge.window import Window

    try:
        return stack.enter_context(Window())
    except MissingError as error:
        if must:
            raise
        typer.echo(f"no window: {error}", err=True)
        return None


class _Tally:
    """What the summary needs, in bounded memory."""

    def __init__(self) -> None:
        self.judged, self.dropped = 0, 0
        self._ages: deque[float] = deque(maxlen=1000)

    def add(self, sighting: Sighting) -> None:
        self.judged += 1
        self.dropped = sighting.dropped
        self._ages.append(sighting.age_ms)

    def tell(self, source: Source, notice: str) -> None:
        """Print the summary on standard error."""
        for reason in source.skipped[:5]:
            typer.echo(f"skipped: {reason}", err=True)
        age = f", median age {statistics.median(self._ages):.0f} ms" if self._ages else ""
        skipped = f", {len(source.skipped)} unreadable" if source.skipped else ""
        typer.echo(
            f"{source.name}: {self.judged} frames judged, {self.dropped} dropped{skipped}{age}. "
            f"{notice}",
            err=True,
        )


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set; a second one acts as it did before."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, stack: object) -> None:
        restore()
        stop.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()


def _plain(line: dict[str, Any]) -> str:
    """One judged frame as a line for people."""
    smoothed = line["smoothed_probability"]
    mean = "" if smoothed is None else f" {smoothed:.3f}"
    return (
        f"frame {line['frame']}: {line['decision']} {line['probability']:.3f}, "
        f"smoothed {line['smoothed_decision']}{mean}, quality {line['quality']}, "
        f"age {line['age_ms']:.0f} ms, latency {line['latency_ms']:.0f} ms"
    )
