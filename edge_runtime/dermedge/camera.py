"""Frame sources: USB, network and Raspberry Pi cameras, video files, folders of photographs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dermedge import image  # isort: skip  (it bounds and quietens OpenCV, before OpenCV loads)

import cv2

from dermedge.errors import CameraError, ImageError, InputError, MissingError
from dermedge.image import RGB

REPLAY_FPS = 10.0
VIDEOS = frozenset({".avi", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

_SCHEMES = ("rtsp", "rtsps", "http", "https")
# A network camera that is silent for 10 s has stopped.
_TIMEOUTS = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 10_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 10_000)
_TRIES = 3  # one damaged frame is no reason to stop
_PI_SIZE = (1280, 960)  # 4:3, the shape of the sensors: nothing is cut off

# FFmpeg writes to standard error by itself; what went wrong is told by us, in one line.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Source(Protocol):
    """Where frames come from; used by one thread at a time."""

    @property
    def name(self) -> str:
        """What to call it in messages; holds no password."""
        ...

    @property
    def interval(self) -> float:
        """Seconds from one frame to the next in a replay; 0 if the camera itself sets the pace."""
        ...

    @property
    def skipped(self) -> Sequence[str]:
        """Why each frame that could not be read was left out."""
        ...

    def read(self) -> RGB | None:
        """Wait for the next frame.

        Returns:
            uint8 (height, width, 3), RGB; None at the end of a replay.

        Raises:
            CameraError: The camera has stopped.
        """
        ...

    def close(self) -> None:
        """Release the device or file."""
        ...


def open_source(text: str, fps: float | None = None) -> Source:
    """Open the frame source that `text` names.

    Args:
        text: `0` (camera index), `/dev/videoN`, `rtsp://…` or `http://…`, `picamera2`, a video
            file, a photograph, or a folder of photographs (`./0` for one that is called 0).
        fps: Frames a second at which photographs are replayed, `REPLAY_FPS` by default; nothing
            else can be paced.

    Raises:
        CameraError: The camera does not exist, is in use, or gives no frame.
        InputError: Not a source, a file that is no video, a folder without photographs.
        MissingError: Picamera2 is not usable from this Python.
    """
    path = Path(text)
    if not text.isdecimal() and (path.is_dir() or path.suffix.lower() in image.ENDINGS):
        return Replay(path, REPLAY_FPS if fps is None else fps)
    if fps is not None:
        raise InputError(f"{text} sets its own pace; fps is for a folder of photographs")
    if text == "picamera2":
        return PiCamera()
    if text.isdecimal() or text.startswith("/dev/") or "://" in text:
        return Camera(text)
    return Video(path)


class Camera:
    """A live camera read through OpenCV: USB, built-in, or on the network."""

    interval = 0.0
    skipped = ()

    def __init__(self, text: str) -> None:
        """Open it and see one frame; `text` as in `open_source`."""
        self.name = f"camera {text}" if text.isdecimal() else _without_secrets(text)
        self._capture = _open_camera(text)
        if not self._capture.isOpened():
            raise CameraError(f"{self.name} can't be opened. {_hint(text)}")
        # The driver's queue would hand out frames that are seconds old (opencv #13145).
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if _next_frame(self._capture) is None:
            self.close()
            raise CameraError(f"{self.name} opens but gives no frame; is it in use? {_hint(text)}")

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        for _ in range(_TRIES):
            frame = _next_frame(self._capture)
            if frame is not None:
                return frame
        raise CameraError(f"{self.name} stopped giving frames; check its cable, power or network.")

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


class Video:
    """A video file, replayed at its own frame rate."""

    skipped = ()

    def __init__(self, path: Path) -> None:
        """Open it; any ending outside `VIDEOS` is refused, since FFmpeg "plays" even text."""
        self.name = str(path)
        if not path.is_file():
            raise InputError(f"{path} is no file, folder or camera; cameras are 0, /dev/video0, …")
        self._capture = cv2.VideoCapture(str(path) if path.suffix.lower() in VIDEOS else "")
        if not self._capture.isOpened():
            raise InputError(f"{path} is not a readable video ({', '.join(sorted(VIDEOS))})")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.interval = 1 / fps if 1 <= fps <= 240 else 1 / 25
        self._seen = False

    def read(self) -> RGB | None:
        """The next frame; see `Source.read`."""
        frame = _next_frame(self._capture)
        if frame is None and not self._seen:
            raise InputError(f"{self.name} holds no frame that can be decoded; copy it again")
        self._seen = True
        return frame

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


class Replay:
    """Photographs in the order of their paths, as a camera would show them."""

    def __init__(self, path: Path, fps: float) -> None:
        """List a folder's photographs, or take the one that `path` is."""
        if not fps > 0:
            raise InputError(f"expected fps above 0, got {fps}")
        paths = image.find(path) if path.is_dir() else [path]
        if not paths:
            raise InputError(f"{path} holds no photograph ({', '.join(sorted(image.ENDINGS))})")
        self.name = str(path)
        self.interval = 1 / fps
        self.skipped: list[str] = []
        self._total = len(paths)
        self._paths = iter(paths)

    def read(self) -> RGB | None:
        """The next photograph that can be read; see `Source.read`."""
        for path in self._paths:
            try:
                return image.read(path)
            except ImageError as error:
                self.skipped.append(str(error))
        if len(self.skipped) == self._total:
            raise InputError(f"{self.name}: no photograph can be read. {self.skipped[0]}")
        return None

    def close(self) -> None:
        """Nothing is held between two photographs."""


class PiCamera:
    """A Raspberry Pi camera on the CSI ribbon, through Picamera2."""

    name = "picamera2"
    interval = 0.0
    skipped = ()

    def __init__(self) -> None:
        """Start the first camera and see one frame."""
        factory = _picamera2()
        try:
            self._camera = factory()
        except (IndexError, RuntimeError) as error:
            raise CameraError(
                f"picamera2 finds no free camera ({error}); check the ribbon and that no other "
                "program uses it: rpicam-hello --list-cameras"
            ) from error
        try:
            # queue=False: a frame is captured after it was asked for, never before.
            main = {"size": _PI_SIZE, "format": "RGB888"}
            self._camera.configure(self._camera.create_video_configuration(main=main, queue=False))
            self._camera.start()
            self.read()
        except (CameraError, OSError, RuntimeError) as error:
            self.close()
            raise CameraError(f"picamera2 can't start its camera: {error}") from error

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        try:
            bgr = self._camera.capture_array("main")
        except (OSError, RuntimeError) as error:
            raise CameraError(f"picamera2 stopped giving frames ({error}).") from error
        # "RGB888" is the order within a little-endian word; in memory it is BGR (picamera2 #848).
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]

    def close(self) -> None:
        """Stop the camera and release it."""
        self._camera.stop()
        self._camera.close()


def _open_camera(text: str) -> cv2.VideoCapture:
    if text.isdecimal():
        return cv2.VideoCapture(int(text))
    if text.startswith("/dev/"):
        return cv2.VideoCapture(text, cv2.CAP_V4L2)
    if text.partition("://")[0].lower() not in _SCHEMES:
        raise InputError(f"{_without_secrets(text)}: expected one of {', '.join(_SCHEMES)}")
    return cv2.VideoCapture(text, cv2.CAP_FFMPEG, _TIMEOUTS)


def _next_frame(capture: cv2.VideoCapture) -> RGB | None:
    done, bgr = capture.read()
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if done else None  # type: ignore[return-value]


def _without_secrets(text: str) -> str:
    """`rtsp://user:password@host/path?token` -> `rtsp://host/path`."""
    return re.sub(r"(?<=://).*@", "", text).partition("?")[0]


def _hint(text: str) -> str:
    """What to do about a camera that does not open."""
    if "://" in text:
        return "Check the address, the user and password, and that this machine reaches it."
    found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*")))
    return f"Cameras here: {found or 'none'}. A Raspberry Pi ribbon camera: --source picamera2"


def _picamera2() -> Any:
    try:
        from picamera2 import Picamera2  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(
            f"picamera2 is not usable from this Python ({error}). On the Raspberry Pi: sudo apt "
            "install python3-picamera2, then python3 -m venv --system-site-packages ENV and "
            "install there."
        ) from error
    except ValueError as error:  # built for numpy 1, running under numpy 2 (picamera2 #1088, #1211)
        raise MissingError(
            f"picamera2 does not fit this numpy ({error}); run in this environment: "
            "pip install --force-reinstall --no-deps simplejpeg"
        ) from error
    return Picamera2
