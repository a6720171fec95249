"""`kit camera`: judge what a camera sees, frame by frame, until it is stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.cli_capture import Captures, capture
from dermedge.cli_feed import Fps, List, Lock, Size, Skin, SourceName, inspection, wish
from dermedge.options import (
    HOME,
    AllowUnsigned,
    BundleFile,
    Home,
    Json,
    KeyFile,
    Threads,
    Threshold,
)

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.diagnose import Diagnostician
    from dermedge.live import Sighting
    from dermedge.recorder import Keep, Recorder
    from dermedge.source import Source
    from dermedge.window import Window

_Frames = Annotated[int | None, typer.Option(min=1, help="Judge so many frames, then end.")]
_Window = Annotated[
    bool | None,
    typer.Option("--window/--no-window", help="Show the frames. [where there is a screen]"),
]
_Record = Annotated[
    Path | None, typer.Option(help="Record every judgement in this file, see kit records.")
]
_RecordMb = Annotated[int, typer.Option(min=1, help="Greatest size of the record, MB.")]
_Keep = Annotated[
    bool, typer.Option("--keep-pictures", help="Keep each judged picture beside the record.")
]
_PicturesMb = Annotated[int, typer.Option(min=1, help="Greatest size of all pictures, MB.")]
_PicturesDays = Annotated[float, typer.Option(min=0.01, help="Pictures older than this go, days.")]
_Smooth = Annotated[int, typer.Option(min=1, help="Average over the last so many judged frames.")]


def camera(
    bundle: BundleFile,
    source: SourceName = "auto",
    frames: _Frames = None,
    window: _Window = None,
    record: _Record = None,
    record_mb: _RecordMb = 256,
    keep_pictures: _Keep = False,
    pictures_mb: _PicturesMb = 500,
    pictures_days: _PicturesDays = 30.0,
    key_file: KeyFile = None,
    smooth: _Smooth = 5,
    threshold: Threshold = None,
    threads: Threads = None,
    as_json: Json = False,
    fps: Fps = None,
    size: Size = None,
    lock: Lock = False,
    skin_check: Skin = True,
    capture_on: Captures = None,
    list_cameras: List = False,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
) -> None:
    """Judge what a camera sees; the newest frame is judged, older ones are dropped.

    Ctrl-C, SIGTERM, and q or Esc in the window end it cleanly, with exit code 0 and a summary on
    standard error. Every line carries the frame's age: from its capture to the verdict. With
    --json and --record the first line of a run also carries the notice. A camera that goes is
    opened again until it is back, and both are said on standard error; frames of a camera that is
    frozen, moves, or sees no skin are not assessable. fake: is a made-up camera, see
    docs/camera.md; --list says which real ones there are. With --capture only those frames are
    told and recorded that it captures. Pictures are kept only if asked for,
    without EXIF or place, and encrypted if there is a key (kit records key makes one).
    Research software, not a medical device.

    \b
    Example:
      kit camera small.kit
      kit camera installed --source picamera2
      kit camera small.kit --source picamera2 --no-window --record today.jsonl
      kit camera small.kit --record today.jsonl --keep-pictures --key-file ~/records.key
      kit camera small.kit --source fake:unplug@50,freeze@100,end@500 --no-window
      kit camera small.kit --capture steady --capture button:17 --record today.jsonl
      kit camera small.kit --source photos/ --fps 2 --frames 20 --no-window --json
    """
    from dermedge import basis
    from dermedge.camera import opener
    from dermedge.live import Listener, entry, watch
    from dermedge.notify import VARIABLE, Notifier
    from dermedge.relay import appoint
    from dermedge.threshold import set_by_user

    def with_own_rule(found: Bundle) -> Bundle:
        return dataclasses.replace(found, contract=set_by_user(found.contract, threshold))

    keep = _keep(record, keep_pictures, pictures_mb, pictures_days, key_file)
    diagnostician = appoint(bundle, home, threads, allow_unsigned, with_own_rule)
    runtime = diagnostician.classifier.runtime
    tally, news = _Tally(), _News(diagnostician)
    with ExitStack() as stack:
        recorder = _recorder(stack, record, record_mb, keep)
        screen = None if window is False else _screen(stack, must=bool(window))
        open_camera = opener(source, wish(size, fps, lock), _say)
        feed = open_camera()
        stop = stack.enter_context(_stopping())
        service = stack.enter_context(Notifier(os.environ.get(VARIABLE)))

        def idle(reason: str) -> None:
            service.beat()
            if screen is not None and not screen.show_nothing(reason):
                stop.set()

        sightings = watch(
            *(feed, diagnostician, frames, smooth, stop),
            reopen=None if feed.interval else open_camera,
            inspect=inspection(feed, skin_check),
            listener=Listener(_say, idle),
        )
        captures, fresh = capture(stack, capture_on, screen), dict[str, str]()
        for sighting in stack.enter_context(closing(sightings)):
            opened = diagnostician.bundle  # the one that judged this frame
            said = basis.remark(opened.contract, opened.signature)
            fresh.update(news.tell())
            tally.add(sighting)
            captured = captures.of(sighting)
            if captured is not None:
                line = {**entry(sighting, opened, runtime), **captured, **fresh}
                fresh.clear()
                if recorder is not None:
                    line = recorder.add(line, sighting.frame.image, sighting.time)
                typer.echo(json.dumps(line) if as_json else _plain(line, said))
            service.beat()
            if screen is not None and not screen.show(sighting, said):
                break
    tally.tell(feed, diagnostician.contract.notice)


def _say(text: str) -> None:
    typer.echo(f"kit: {text}", err=True)


def _keep(
    record: Path | None, wanted: bool, megabytes: int, days: float, key_file: Path | None
) -> Keep | None:
    """How pictures are kept; None if they are not."""
    from dermedge.crypt import VARIABLE, load_key
    from dermedge.recorder import Keep

    if not wanted:
        if key_file is not None:
            raise typer.BadParameter("--key-file encrypts pictures; add --keep-pictures")
        return None
    if record is None:
        raise typer.BadParameter("--keep-pictures keeps them beside the record; add --record PATH")
    return Keep(load_key(key_file, os.environ.get(VARIABLE)), megabytes << 20, days)


def _recorder(
    stack: ExitStack, path: Path | None, megabytes: int, keep: Keep | None
) -> Recorder | None:
    from dermedge.recorder import Recorder

    if path is None:
        return None
    return stack.enter_context(Recorder(path, megabytes << 20, keep))


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


class _News:
    """Which model judges and what is amiss with it, told once each."""

    def __init__(self, judge: Diagnostician) -> None:
        self._judge, self._note = judge, ""
        self._bundle: Bundle | None = None

    def tell(self) -> dict[str, str]:
        """Print what is new on standard error; what the first line of each model also carries."""
        judge = self._judge
        if judge.note != self._note:
            self._note = judge.note
            typer.echo(f"kit: {judge.note or 'the installed model is sound again'}", err=True)
        if judge.bundle is self._bundle:
            return {}
        if self._bundle is not None:
            typer.echo(f"kit: bundle {judge.bundle.sha256[:12]} has taken over", err=True)
        self._bundle = judge.bundle
        return {"notice": judge.contract.notice}


class _Tally:
    """What the summary needs, in bounded memory."""

    def __init__(self) -> None:
        self.judged, self.dropped, self.losses = 0, 0, 0
        self._ages: deque[float] = deque(maxlen=1000)

    def add(self, sighting: Sighting) -> None:
        self.judged += 1
        self.dropped, self.losses = sighting.dropped, sighting.losses
        self._ages.append(sighting.age_ms)

    def tell(self, source: Source, notice: str) -> None:
        """Print the summary on standard error."""
        for reason in source.skipped[:5]:
            typer.echo(f"skipped: {reason}", err=True)
        age = f", median age {statistics.median(self._ages):.0f} ms" if self._ages else ""
        gone = f", gone {self.losses} times" if self.losses else ""
        skipped = f", {len(source.skipped)} unreadable" if source.skipped else ""
        typer.echo(
            f"{source.name}: {self.judged} frames judged, {self.dropped} dropped"
            f"{skipped}{gone}{age}. {notice}",
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


def _plain(line: dict[str, Any], remark: str) -> str:
    """One judged frame as a line for people."""
    smoothed = line["smoothed_probability"]
    mean = "" if smoothed is None else f" {smoothed:.3f}"
    return (
        f"frame {line['frame']}: {line['decision']} {line['probability']:.3f}, "
        f"smoothed {line['smoothed_decision']}{mean}, quality {line['quality']}, "
        f"age {line['age_ms']:.0f} ms, latency {line['latency_ms']:.0f} ms"
        f"{'; ' if remark else ''}{remark}"
    )
