"""What has changed from one frame to the next: size, position, or nothing at all."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.image import RGB
from dermedge.thumbnail import thumbnail

# Grey levels a pixel: in a picture without edges, where nothing can be seen to move, noise is not
# to pass for motion.
_PLAIN = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """From the frame before to this one.

    Attributes:
        shift: How far the picture has moved, see `shift`; None for a first frame or one of another
            size.
        frozen_s: For how long not one pixel has changed, seconds.
        resized: Whether the size is another one.
    """

    shift: float | None
    frozen_s: float
    resized: bool


class Motion:
    """Compares each frame with the one before, of which it keeps hold.

    Attributes:
        thumbnail: Of the frame that was added last; None before the first one.
    """

    def __init__(self) -> None:
        self.thumbnail: RGB | None = None
        self._before: RGB | None = None
        self._small: npt.NDArray[np.float32] | None = None
        self._changed = 0.0

    def add(self, image: RGB, now: float) -> Change:
        """Take the next frame, uint8 (height, width, 3), RGB, captured at `now`, seconds."""
        before, small_before = self._before, self._small
        self._before, self.thumbnail = image, thumbnail(image)
        self._small = cv2.cvtColor(self.thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if before is None or small_before is None or before.shape != image.shape:
            self._changed = now
            return Change(None, 0.0, before is not None)
        if not _same(before, image):
            self._changed = now
        return Change(shift(small_before, self._small), now - self._changed, False)


def shift(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    """About how far a small grey picture has moved, as a share of its side; too little beyond 0.01.

    The normal flow (Horn & Schunck 1981), taken over the whole picture: change in time over change
    in space. It needs no search, and light that flickers alike everywhere does not enter.

    Args:
        before: float32 (n, n), grey levels.
        after: The same, later.
    """
    change = after - before
    rows, columns = np.gradient(before)
    slope = float(np.mean(np.hypot(rows, columns)))
    return float(np.mean(np.abs(change - change.mean()))) / (slope + _PLAIN) / len(before)


def _same(before: RGB, after: RGB) -> bool:
    """Whether not one pixel differs; most often a few of them tell."""
    return np.array_equal(before[::16, ::16], after[::16, ::16]) and np.array_equal(before, after)
