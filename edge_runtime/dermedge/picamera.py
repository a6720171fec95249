"""A Raspberry Pi camera on the CSI ribbon, through Picamera2."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cv2

from dermedge.errors import CameraError, MissingError
from dermedge.image import RGB
from dermedge.source import Wish

NAME = "picamera2"

_SIZE = (1280, 960)  # 4:3, the shape of the sensors: nothing is cut off
_SETTLE_FRAMES = 20  # exposure and white balance of libcamera settle within about ten
# libcamera's AfModeEnum: Auto moves only when it is told to, with AfTriggerEnum.Start.
_AF_AUTO, _AF_CONTINUOUS, _AF_START = 1, 2, 0


class PiCamera:
    """One of the ribbon cameras."""

    interval = 0.0
    skipped = ()

    def __init__(self, number: int = 0, wish: Wish | None = None) -> None:
        """Start the camera and see one frame.

        Args:
            number: As `rpicam-hello --list-cameras` counts them.
            wish: Size and pace, and whether to `Wish.lock` it.

        Raises:
            CameraError: There is none, it is in use, or it gives no frame.
            MissingError: Picamera2 is not usable from this Python.
        """
        self.name = NAME if number == 0 else f"{NAME}:{number}"
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
            # What never started may fail to stop; what matters is why it didn't start.
            with suppress(OSError, RuntimeError):
                self.close()
            raise CameraError(f"{self.name} can't start its camera: {error}") from error

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        try:
            bgr = self._camera.capture_array("main")
        except (OSError, RuntimeError) as error:
            raise CameraError(f"{self.name} stopped giving frames ({error}).") from error
        # "RGB888" is the order within a little-endian word; in memory it is BGR (picamera2 #848).
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]

    def focus(self) -> bool:
        """Begin to focus; see `Focusing.focus`. From then on the lens stays until asked again."""
        if not self._can_focus():
            return False
        # Not autofocus_cycle: frames would queue behind it until the lens has settled, if ever.
        try:
            self._camera.set_controls({"AfMode": _AF_AUTO, "AfTrigger": _AF_START})
        except (OSError, RuntimeError) as error:
            raise CameraError(f"{self.name} can't be told to focus ({error}).") from error
        return True

    def close(self) -> None:
        """Stop the camera and release it."""
        try:
            self._camera.stop()
        finally:
            self._camera.close()

    def _start(self, wish: Wish) -> None:
        camera = self._camera
        # queue=False: a frame is captured after it was asked for, never before.
        configuration = camera.create_video_configuration(
            main={"size": wish.size or _SIZE, "format": "RGB888"},
            controls={"FrameRate": wish.fps} if wish.fps else {},
            queue=False,
        )
        camera.configure(configuration)
        camera.start()
        if self._can_focus() and not wish.lock:
            # libcamera's own default leaves the lens where it is, and nobody may be there to ask.
            camera.set_controls({"AfMode": _AF_CONTINUOUS})
        self.read()
        if wish.lock:
            self._lock()

    def _lock(self) -> None:
        for _ in range(_SETTLE_FRAMES):
            self.read()
        if self._can_focus():
            self._camera.set_controls({"AfMode": _AF_AUTO})
            self._camera.autofocus_cycle()
        # Both stay at what they have found.
        self._camera.set_controls({"AeEnable": False, "AwbEnable": False})

    def _can_focus(self) -> bool:
        return "AfMode" in self._camera.camera_controls  # fixed lenses have none


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
