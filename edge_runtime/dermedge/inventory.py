"""Which cameras this machine has, and which of them the kit would take, and why."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermedge import picamera
from dermedge.errors import CameraError, MissingError

# linux/videodev2.h: _IOR('V', 0, struct v4l2_capability), and what its device_caps can say.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32s3I12x")
_CAPTURE = 0x00000001
# Drivers of what belongs to the ribbon on a Raspberry Pi: its raw sensors, scalers and codecs. They
# look like cameras, and OpenCV gets nothing from them (opencv #22820).
_RIBBON_DRIVERS = ("unicam", "bcm2835", "rp1-cfe", "pisp", "rpi-hevc", "rpivid")

# Answers the question VIDIOC_QUERYCAP for one node: the driver, the card, device_caps.
Ask = Callable[[Path], tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """One camera.

    Attributes:
        source: What `--source` takes.
        says: What it calls itself.
        ribbon: On the CSI ribbon, not on USB.
    """

    source: str
    says: str
    ribbon: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found, and what kept the kit from looking further (empty if nothing did)."""

    cameras: tuple[Found, ...]
    notes: tuple[str, ...] = ()


def look() -> Sight:
    """Look for cameras; none is opened for frames, so that one in use is found too."""
    ribbon, note = _ribbon()
    if sys.platform != "linux":
        system = f"on {sys.platform} USB cameras can't be listed; try --source 0"
        return Sight(tuple(ribbon), tuple(filter(None, (note, system))))
    usb = video_nodes(sorted(Path("/dev").glob("video*"), key=_number), _ask)
    return Sight((*ribbon, *usb), (note,) if note else ())


def choose(sight: Sight) -> tuple[str, str]:
    """The source to take, and why.

    Raises:
        CameraError: There is no camera.
    """
    for found in sight.cameras:
        if found.ribbon:
            return found.source, f"{found.says}: a ribbon camera comes before USB"
    for found in sight.cameras:
        return found.source, f"{found.says}: the first USB camera; there is no ribbon camera"
    notes = "".join(f" {note}." for note in sight.notes)
    raise CameraError(f"no camera here.{notes} To try without one: --source fake:")


def as_text(sight: Sight) -> str:
    """One line a camera, the one that would be chosen marked; then the reason and the notes."""
    try:
        chosen, reason = choose(sight)
        end = f"auto takes {chosen} ({reason})"
    except CameraError as error:
        return str(error)
    width = max(len(found.source) for found in sight.cameras)
    lines = [
        f"{'*' if found.source == chosen else ' '} {found.source:<{width}}  {found.says}"
        for found in sight.cameras
    ]
    return "\n".join([*lines, end, *sight.notes])


def ribbon_cameras(described: Sequence[dict[str, Any]]) -> list[Found]:
    """Those on the ribbon, from what `Picamera2.global_camera_info()` returns."""
    return [
        Found(f"{picamera.NAME}:{number}" if number else picamera.NAME, f"{one['Model']}", True)
        for number, one in enumerate(described)
        if "/usb" not in str(one.get("Id", ""))  # libcamera also knows USB cameras
    ]


def video_nodes(nodes: Iterable[Path], ask: Ask) -> list[Found]:
    """Those nodes of Video4Linux that give pictures to OpenCV; others are left out."""
    found = []
    for node in nodes:
        try:
            driver, card, can = ask(node)
        except OSError:
            continue  # not ours to open, or gone since
        if can & _CAPTURE and not driver.startswith(_RIBBON_DRIVERS):
            found.append(Found(str(node), card, False))
    return found


def read_capability(answer: bytes) -> tuple[str, str, int]:
    """Driver, card and what a node can do, from a struct v4l2_capability, 104 bytes."""
    driver, card, _, _, of_card, of_node = _CAPABILITY.unpack(answer)
    # V4L2_CAP_DEVICE_CAPS: one USB camera has several nodes, and only some give pictures.
    return _text(driver), _text(card), of_node if of_card & 0x80000000 else of_card


def _ribbon() -> tuple[list[Found], str]:
    try:
        return ribbon_cameras(picamera.library().global_camera_info()), ""
    except MissingError as error:
        # Only a Raspberry Pi asks for it.
        model = Path("/proc/device-tree/model")
        return [], str(error) if model.exists() and b"Raspberry" in model.read_bytes() else ""


def _ask(node: Path) -> tuple[str, str, int]:
    import fcntl

    device = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(device, _QUERYCAP, bytes(_CAPABILITY.size))
    finally:
        os.close(device)
    return read_capability(answer)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")


def _number(node: Path) -> int:
    digits = node.name.removeprefix("video")
    return int(digits) if digits.isdecimal() else sys.maxsize
