"""`kit camera`: judge what a camera sees, frame by frame, until it is stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from dermedge import cli_mqtt, cli_record, cli_web, cli_wishes
from dermedge.cli_capture import Captures, capture
from dermedge.cli_feed import Fps, List, Lock, Size, Skin, SourceName, inspection, wish
from dermedge.cli_mqtt import MQTT
from dermedge.cli_record import (
    KeepPictures,
    PicturesDays,
    PicturesMb,
    Record,
    RecordMb,
)
from dermedge.cli_tell import say
from dermedge.cli_telling import Telling
from dermedge.options import (
    HOME,
    AllowUnsigned,
    BundleFile,
    Home,
    Json,
    KeyFile,
    Runtime,
    Threads,
    Threshold,
)

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.diagnose import Diagnostician
    from dermedge.window import Window

# The context's object that asks to check the options alone, and open nothing.
CHECK = "check"

_Frames = Annotated[int | None, typer.Option(min=1, help="Judge so many frames, then end.")]
_Window = Annotated[
    bool | None,
    typer.Option("--window/--no-window", help="Show the frames. [where there is a screen]"),
]
_Smooth = Annotated[
    int, typer.Option(min=1, max=1000, help="Average over the last so many judged frames.")
]


def camera(
    context: typer.Context,
    bundle: BundleFile,
    source: SourceName = "auto",
    frames: _Frames = None,
    window: _Window = None,
    record: Record = None,
    record_mb: RecordMb = 256,
    keep_pictures: KeepPictures = False,
    pictures_mb: PicturesMb = 500,
    pictures_days: PicturesDays = 30.0,
    key_file: KeyFile = None,
    smooth: _Smooth = 5,
    threshold: Threshold = None,
    threads: Threads = None,
    runtime: Runtime = None,
    as_json: Json = False,
    fps: Fps = None,
    size: Size = None,
    lock: Lock = False,
    skin_check: Skin = True,
    capture_on: Captures = None,
    web: cli_web.Web = False,
    web_listen: cli_web.Listen = None,
    web_token_file: cli_web.TokenFile = None,
    web_tls: cli_web.Tls = None,
    web_name: cli_web.Name = None,
    mqtt: cli_mqtt.Url = None,
    mqtt_password_file: cli_mqtt.PasswordFile = None,
    mqtt_ca: cli_mqtt.CaFile = None,
    mqtt_topic: cli_mqtt.Topic = "dermkit",
    mqtt_name: cli_mqtt.Name = None,
    mqtt_pictures: cli_mqtt.SendPictures = False,
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
    without EXIF or place, and encrypted if there is a key (kit records key makes one). --web and
    --mqtt show it elsewhere, see docs/web.md and docs/mqtt.md. Research software, not a medical
    device.

    \b
    Example:
      kit camera small.kit
      kit camera installed --source picamera2
      kit camera small.kit --source picamera2 --no-window --record today.jsonl
      kit camera small.kit --record today.jsonl --keep-pictures --key-file ~/records.key
      kit camera small.kit --source fake:unplug@50,freeze@100,end@500 --no-window
      kit camera small.kit --capture steady --capture button:17 --record today.jsonl
      kit camera small.kit --source photos/ --fps 2 --frames 20 --no-window --json
      kit camera small.kit --web --capture web --record today.jsonl
    """
    from dermedge.audience import Audience
    from dermedge.camera import opener
    from dermedge.live import Listener, watch
    from dermedge.notify import VARIABLE, Notifier
    from dermedge.opening import opened
    from dermedge.relay import appoint
    from dermedge.threshold import set_by_user

    def with_own_rule(found: Bundle) -> Bundle:
        return dataclasses.replace(found, contract=set_by_user(found.contract, threshold))

    def judge(count: int | None) -> Diagnostician:
        return appoint(bundle, home, count, allow_unsigned, with_own_rule, runtime)

    asked, focus = capture_on or [], threading.Event()
    recording = cli_record.Wish(
        record, record_mb, keep_pictures, pictures_mb, pictures_days, key_file
    )
    page = cli_web.Wish(web, web_listen, web_token_file, web_tls, tuple(web_name or ()))
    broker = cli_mqtt.Wish(mqtt, mqtt_password_file, mqtt_ca, mqtt_topic, mqtt_name, mqtt_pictures)
    wished = wish(size, fps, lock)
    cli_wishes.check(asked, recording, page, broker)
    if context.obj == CHECK:
        return
    kept = cli_record.keep(recording)
    diagnostician = judge(threads)
    with ExitStack() as stack:
        journal = cli_record.recorder(stack, recording, kept)
        screen = _screen(stack, window, focus)
        stop = stack.enter_context(_stopping())
        open_camera = opener(source, wished, say)
        feed = opened(open_camera, stop)
        if feed is None:
            say("stopped before the camera was open")
            return
        audience = Audience(
            journal,
            cli_web.preview(stack, page, home, lambda: judge(1), diagnostician, focus),
            cli_mqtt.publisher(stack, broker, MQTT in asked, diagnostician, say),
            screen,
        )
        service = stack.enter_context(Notifier(os.environ.get(VARIABLE)))
        captures = capture(stack, asked, audience.buttons)
        telling = Telling(diagnostician, audience, captures, service, as_json)

        def idle(reason: str) -> None:
            if not telling.idle(reason):
                stop.set()

        sightings = watch(
            *(feed, diagnostician, frames, smooth, stop),
            reopen=None if feed.interval else open_camera,
            inspect=inspection(feed, skin_check),
            listener=Listener(say, idle),
            focus=focus,
        )
        telling.hear_all(stack.enter_context(closing(sightings)))
    telling.end(feed)


def _screen(stack: ExitStack, wanted: bool | None, focus: threading.Event) -> Window | None:
    """A window to show frames in; without a screen None and a line that says so, unless wanted."""
    from dermedge.errors import MissingError
    from dermedge.window import Window

    if wanted is False:
        return None
    try:
        return stack.enter_context(Window(focus=focus))
    except MissingError as error:
        if wanted:
            raise
        typer.echo(f"no window: {error}", err=True)
        return None


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
