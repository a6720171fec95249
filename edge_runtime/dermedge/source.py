"""What every frame source is to the camera loop, and what a user may ask of a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dermedge.image import RGB


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
            uint8 (height, width, 3), RGB, which the source never changes afterwards; None at the
            end of a replay.

        Raises:
            CameraError: The camera has stopped.
        """
        ...

    def close(self) -> None:
        """Release the device or file."""
        ...


@runtime_checkable
class Focusing(Protocol):
    """A source whose lens may be told to focus; used by the thread that reads it."""

    def focus(self) -> bool:
        """Begin to focus once; frames go on meanwhile. False if this lens can't.

        Raises:
            CameraError: The camera has stopped.
        """
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks of a camera; what it can't give is an error or the next best, as told.

    Attributes:
        size: Width and height, pixels; a USB camera takes the nearest that it has.
        fps: Frames a second; for photographs the pace of the replay.
        lock: Focus and measure the light once, then hold focus, exposure and white balance.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    lock: bool = False
