"""A Raspberry Pi camera on the CSI ribbon, through Picamera2."""

from __future__ import annotations

import threading
from typing import Any

import cv2

from dermedge.errors import CameraError, MissingError
from dermedge.image import RGB
from dermedge.source import Wish

NAME = "picamera2"

_SIZE = (1280, 960)  # 4:3, the shape of the sensors: nothing is cut off
_PREVIEW = (320, 240)
_SETTLE_FRAMES = 20  # exposure and white balance of libcamera settle within about ten
_AF_AUTO = 1  # libcamera's AfModeEnum.Auto: it moves only when it is told to


class PiCamera:
    """One of the ribbon cameras: a main stream to judge and a small one to look at."""

    interval = 0.0
    skipped = ()

    def __init__(self, number: int = 0, wish: Wish | None = None) -> None:
        """Start the camera and see one frame.

        Args:
            number: As `rpicam-hello --list-cameras` counts them.
            wish: Size and pace of the main stream, and whether to `Wish.lock` it.

        Raises:
            CameraError: There is none, it is in use, or it gives no frame.
            MissingError: Picamera2 is not usable from this Python.
        """
        self.name = NAME if number == 0 else f"{NAME}:{number}"
        self._focus_asked = threading.Event()
        factory = library()
        try:
            self._camera = factory(number)
        except (IndexError, RuntimeError) as error:
            raise CameraError(
                f"{self.name} finds no free camera ({error}); check the ribbon and that no other "
                "program uses it: rpicam-hello --list-cameras"
            ) from error
        try:
            self._start(wish or Wish())
        except (CameraError, OSError, RuntimeError) as error:
            self.close()
            raise CameraError(f"{self.name} can't start its camera: {error}") from error

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        try:
            if self._focus_asked.is_set():
                self._focus_asked.clear()
                self._focus()
            bgr = self._camera.capture_array("main")
        except (OSError, RuntimeError) as error:
            raise CameraError(f"{self.name} stopped giving frames ({error}).") from error
        # "RGB888" is the order within a little-endian word; in memory it is BGR (picamera2 #848).
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]

    def preview(self) -> RGB:
        """The newest frame of the small stream, uint8 (240, 320, 3), RGB; for the reading thread.

        Raises:
            CameraError: The camera has stopped.
        """
        try:
            yuv = self._camera.capture_array("lores")
        except (OSError, RuntimeError) as error:
            raise CameraError(f"{self.name} stopped giving frames ({error}).") from error
        width, height = _PREVIEW
        # Rows of the buffer may be longer than the picture is wide; the rest is padding.
        rgb = cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420)[:height, :width]
        return rgb  # type: ignore[return-value]

    def focus(self) -> None:
        """Focus once before the next frame, if the lens can; may be called from any thread."""
        self._focus_asked.set()

    def close(self) -> None:
        """Stop the camera and release it."""
        self._camera.stop()
        self._camera.close()

    def _start(self, wish: Wish) -> None:
        camera = self._camera
        # queue=False: a frame is captured after it was asked for, never before.
        configuration = camera.create_video_configuration(
            main={"size": wish.size or _SIZE, "format": "RGB888"},
            lores={"size": _PREVIEW, "format": "YUV420"},
            controls={"FrameRate": wish.fps} if wish.fps else {},
            queue=False,
        )
        camera.configure(configuration)
        camera.start()
        self.read()
        if wish.lock:
            self._lock()

    def _lock(self) -> None:
        for _ in range(_SETTLE_FRAMES):
            self.read()
        self._focus()
        # Both stay at what they have found.
        self._camera.set_controls({"AeEnable": False, "AwbEnable": False})

    def _focus(self) -> None:
        if "AfMode" in self._camera.camera_controls:  # fixed lenses have none
            self._camera.set_controls({"AfMode": _AF_AUTO})
            self._camera.autofocus_cycle()


def library() -> Any:
    """The class Picamera2.

    Raises:
        MissingError: It is not usable from this Python.
    """
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
