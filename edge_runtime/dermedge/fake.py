"""A made-up camera whose faults are written in its name, to try the kit and to test it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import cv2
import numpy as np

from dermedge import image
from dermedge.errors import CameraError, ImageError, InputError
from dermedge.image import RGB
from dermedge.opencv import TRIES
from dermedge.source import Wish

SCHEME = "fake:"
FPS = 25.0
# Each fault, and how long it lasts unless that is said: frames, for unplug attempts to reopen.
FAULTS = {"unplug": 2, "freeze": 250, "resize": 50, "slow": 10, "corrupt": 1, "end": 1}

_SIZE = (640, 480)
_SLOW = 10  # a slow frame takes so many times as long
_SKIN, _LESION = (225, 180, 160), (110, 60, 45)  # RGB
_GRAIN = 12  # at most, lighter or darker
_STEP = re.compile(r"([a-z]+)@([1-9]\d{0,8})(?:\+([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One step of a script.

    Attributes:
        kind: One of `FAULTS`.
        at: Number of the first frame that it hits, from 1.
        count: How long it lasts, see `FAULTS`.
    """

    kind: str
    at: int
    count: int


class Fake:
    """The device: it lives on while it is closed, so that its script goes on where it was."""

    def __init__(self, text: str, wish: Wish | None = None) -> None:
        """Read the script.

        Args:
            text: `fake:` alone, or with steps `FAULT@FRAME[+COUNT]` between commas, as
                `fake:unplug@50,freeze@100+200,end@400`.
            wish: Size and frames a second.

        Raises:
            InputError: No such fault, or something that it can't give.
        """
        wish = wish or Wish()
        self.faults = parse(text)
        self.fps = FPS if wish.fps is None else wish.fps
        if wish.lock or not self.fps > 0:
            raise InputError(f"the fake camera has no lock, and fps above 0; asked for {wish}")
        self.size = wish.size or _SIZE
        self.shown = 0
        self._refusals = 0
        self._still: RGB | None = None
        self._pictures = {size: _Picture(size) for size in (self.size, _half(self.size))}

    def open(self) -> FakeCamera:
        """Plug it in and open it.

        Raises:
            CameraError: It is still unplugged.
        """
        if self._refusals:
            self._refusals -= 1
            raise CameraError("fake camera can't be opened: it is unplugged.")
        return FakeCamera(self)

    def shoot(self) -> RGB | None:
        """The next frame of the script; None at its end.

        Raises:
            CameraError: The cable is pulled at this frame.
            ImageError: This frame is damaged.
        """
        self.shown += 1
        now = {fault.kind: fault for fault in self.faults if _hits(fault, self.shown)}
        if "end" in now:
            return None
        if "unplug" in now:
            self._refusals = now["unplug"].count
            raise CameraError("fake camera stopped giving frames; it was unplugged.")
        time.sleep((_SLOW if "slow" in now else 1) / self.fps)
        if "freeze" in now and self._still is not None:
            return self._still
        size = _half(self.size) if "resize" in now else self.size
        data = self._pictures[size].jpeg(self.shown)
        # As over USB: frames travel as JPEG, and half of one is no frame.
        self._still = image.decode(data[: len(data) // 2] if "corrupt" in now else data, SCHEME)
        return self._still


class FakeCamera:
    """The device while it is open, as a frame source."""

    name = "fake camera"
    interval = 0.0
    skipped = ()

    def __init__(self, device: Fake) -> None:
        """See `Fake.open`."""
        self._device = device

    def read(self) -> RGB | None:
        """Wait for the next frame; see `Source.read`."""
        for _ in range(TRIES):
            try:
                return self._device.shoot()
            except ImageError:
                continue
        raise CameraError(f"{self.name} stopped giving frames; {TRIES} in a row were damaged.")

    def close(self) -> None:
        """Nothing is held."""


def parse(text: str) -> tuple[Fault, ...]:
    """Read a script, `fake:` in front.

    Raises:
        InputError: Says which step is not understood, and what there is.
    """
    steps = [step for step in text.removeprefix(SCHEME).split(",") if step]
    return tuple(_parse_step(step) for step in steps)


class _Picture:
    """A dark disc on skin, with a grain that changes from frame to frame.

    Bytes all along: the memory of `kit camera` is measured with this camera.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        if min(size) < 16:
            raise InputError(f"expected a fake camera of 32 x 32 pixels or more, got {size}")
        darkened = [colour - _GRAIN for colour in _SKIN]
        self._still = np.full((height, width, 3), darkened, np.uint8)
        lesion = [colour - _GRAIN for colour in _LESION]
        cv2.circle(self._still, (width // 2, height // 2), min(size) // 4, lesion, cv2.FILLED)
        cv2.setRNGSeed(0)
        self._grain = np.empty_like(self._still)
        cv2.randu(self._grain, np.zeros(3), np.full(3, 2.0 * _GRAIN + 1))

    def jpeg(self, number: int) -> bytes:
        grain = np.roll(self._grain, (7 * number, 13 * number), (0, 1))
        cv2.add(self._still, grain, dst=grain)
        return image.to_jpeg(grain)


def _parse_step(step: str) -> Fault:
    found = _STEP.fullmatch(step)
    if found is None or found[1] not in FAULTS:
        raise InputError(
            f"fake camera: {step!r} is not understood; expected FAULT@FRAME or FAULT@FRAME+COUNT "
            f"with one of {', '.join(FAULTS)}"
        )
    return Fault(found[1], int(found[2]), int(found[3] or FAULTS[found[1]]))


def _hits(fault: Fault, number: int) -> bool:
    # What the cable does is one frame; how long it lasts is counted in attempts to reopen.
    frames = {"unplug": 1, "end": number}.get(fault.kind, fault.count)
    return fault.at <= number < fault.at + frames


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2, size[1] // 2
