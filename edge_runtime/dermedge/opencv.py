"""Cameras that OpenCV reads: USB, built-in, and on the network."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from dermedge import address
from dermedge.errors import CameraError, InputError
from dermedge.image import RGB
from dermedge.source import Wish

TRIES = 3  # one damaged frame is no reason to stop

# Of a silent RTSP camera each read waits for so long. All tries together end well before the loop
# loses its patience (`live.PATIENCE_S`): the camera is opened again, and the program goes on.
_TIMEOUTS = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 10_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5_000)
_DIGITS = 9  # of a camera's number; OpenCV takes 32 bits, and hundreds mean one of its backends
_MJPG = cv2.VideoWriter.fourcc(*"MJPG")

# FFmpeg writes to standard error by itself; what went wrong is told by us, in one line.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Camera:
    """A live camera read through OpenCV."""

    interval = 0.0
    skipped = ()

    def __init__(self, text: str, wish: Wish | None = None) -> None:
        """Open it and see one frame; `text` as in `camera.open_source`.

        Raises:
            CameraError: It does not exist, is in use, or gives no frame.
            InputError: Something is wished that a camera of this kind does not have.
        """
        wish = wish or Wish()
        self.name = f"camera {text}" if text.isdecimal() else address.shown(text)
        _refuse(self.name, "://" in text, wish)
        self._capture = _open(text)
        if not self._capture.isOpened():
            raise CameraError(f"{self.name} can't be opened. {_hint(text)}")
        # The driver's queue would hand out frames that are seconds old (opencv #13145).
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        _set(self._capture, wish)
        if next_frame(self._capture) is None:
            self.close()
            raise CameraError(f"{self.name} opens but gives no frame; is it in use? {_hint(text)}")

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        for _ in range(TRIES):
            frame = next_frame(self._capture)
            if frame is not None:
                return frame
        raise CameraError(f"{self.name} stopped giving frames; check its cable, power or network.")

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def next_frame(capture: cv2.VideoCapture) -> RGB | None:
    """The next frame as RGB, uint8 (height, width, 3); None if it can't be read."""
    done, bgr = capture.read()
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if done else None  # type: ignore[return-value]


def _refuse(name: str, on_network: bool, wish: Wish) -> None:
    if wish.lock:
        raise InputError(f"{name}: only a ribbon camera (picamera2) can be locked by the kit")
    if on_network and (wish.size or wish.fps):
        raise InputError(f"{name} sets its own size and pace (fps); change them in the camera")


def _open(text: str) -> cv2.VideoCapture:
    if text.isdecimal():
        if len(text) > _DIGITS:
            raise InputError(f"{text[:_DIGITS]}… is no number of a camera; the first one is 0")
        return cv2.VideoCapture(int(text))
    if text.startswith("/dev/"):
        return cv2.VideoCapture(text, cv2.CAP_V4L2)
    if text.partition("://")[0].lower() not in address.SCHEMES:
        raise InputError(f"{address.shown(text)}: expected one of {', '.join(address.SCHEMES)}")
    return cv2.VideoCapture(text, cv2.CAP_FFMPEG, _TIMEOUTS)


def _set(capture: cv2.VideoCapture, wish: Wish) -> None:
    """Ask for size and pace; the camera takes the nearest that it has."""
    if wish.size is None and wish.fps is None:
        return
    # First of all: uncompressed, USB 2 carries large frames only a few times a second.
    capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
    if wish.size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wish.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.size[1])
    if wish.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, wish.fps)


def _hint(text: str) -> str:
    """What to do about a camera that does not open."""
    if "://" in text:
        return "Check the address, the user and password, and that this machine reaches it."
    found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*")))
    return f"Cameras here: {found or 'none'}. A Raspberry Pi ribbon camera: --source picamera2"
