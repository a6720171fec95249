"""From the name of a frame source to the source: cameras, videos, photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dermedge import image, inventory, picamera, replay
from dermedge.errors import InputError
from dermedge.fake import SCHEME, Fake
from dermedge.opencv import Camera
from dermedge.picamera import PiCamera
from dermedge.replay import Replay, Video
from dermedge.source import Source, Wish

AUTO = "auto"

Opener = Callable[[], Source]


def opener(
    text: str, wish: Wish | None = None, tell: Callable[[str], None] = lambda reason: None
) -> Opener:
    """What opens the source that `text` names, as often as it is called; see `open_source`.

    Args:
        text: As for `open_source`.
        wish: Likewise.
        tell: Told which camera was chosen, and why, whenever `auto` chooses another.
    """
    wish = wish or Wish()
    if text == AUTO:
        return _Choice(wish, tell)
    if text.startswith(SCHEME):
        return Fake(text, wish).open  # one device, however often it is opened
    return lambda: open_source(text, wish)


def open_source(text: str, wish: Wish | None = None) -> Source:
    """Open the frame source that `text` names.

    Args:
        text: `0` (camera index), `/dev/videoN`, `rtsp://…` or `http://…`, `picamera2` or
            `picamera2:N`, `fake:SCRIPT` (see `Fake`), `auto`, a video file, a photograph, or a
            folder of photographs (`./0` for one that is called 0).
        wish: What is asked of it; photographs take only `Wish.fps`, `replay.FPS` by default.

    Raises:
        CameraError: The camera does not exist, is in use, or gives no frame.
        InputError: Not a source, a file that is no video, a folder without photographs, or a wish
            that this source can't fulfil.
        MissingError: Picamera2 is not usable from this Python.
    """
    wish = wish or Wish()
    if text == AUTO or text.startswith(SCHEME):
        return opener(text, wish)()
    path = Path(text)
    if not text.isdecimal() and (path.is_dir() or path.suffix.lower() in image.ENDINGS):
        _refuse(text, wish.size is not None or wish.lock)
        return Replay(path, replay.FPS if wish.fps is None else wish.fps)
    name, _, number = text.partition(":")
    if name == picamera.NAME and (number or "0").isdecimal():
        return PiCamera(int(number or 0), wish)
    if text.isdecimal() or text.startswith("/dev/") or "://" in text:
        return Camera(text, wish)
    _refuse(text, wish != Wish())
    return Video(path)


class _Choice:
    """Chooses anew each time that a camera is to be opened."""

    def __init__(self, wish: Wish, tell: Callable[[str], None]) -> None:
        self._wish, self._tell = wish, tell
        self._chosen = ""

    def __call__(self) -> Source:
        text, reason = inventory.choose(inventory.look())
        source = open_source(text, self._wish)
        if text != self._chosen:
            self._tell(f"camera: {text} ({reason})")
            self._chosen = text
        return source


def _refuse(text: str, wished: bool) -> None:
    if wished:
        raise InputError(
            f"{text} sets its own pace and size; fps is for cameras and photographs, "
            "size and lock are for cameras"
        )
