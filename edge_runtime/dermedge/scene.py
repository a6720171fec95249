"""May a live frame be judged: is it live, at rest, and of skin."""

from __future__ import annotations

from dermedge import skin
from dermedge.grabber import FROZEN_S, Frame

# Of `motion.shift`, between two frames: reached when a picture moves by 1 to 2 % of its side. Real
# photographs that stand still stay below it, with much noise and flicker: docs/camera.md.
MAX_SHIFT = 0.009


def frozen(frame: Frame) -> tuple[str, ...]:
    """What is wrong with a frame that a camera repeats, in words; empty if it doesn't."""
    if frame.frozen_s < FROZEN_S:
        return ()
    return (f"frozen: the camera repeats one picture for {frame.frozen_s:.0f} s; plug it in anew",)


def restless(frame: Frame) -> tuple[str, ...]:
    """What is wrong with a frame of a camera in somebody's hand, in words; also `frozen`."""
    moved = frame.shift is not None and frame.shift > MAX_SHIFT
    return (*frozen(frame), *(("moving: hold still",) if moved else ()))


def live(frame: Frame) -> tuple[str, ...]:
    """What is wrong with a frame of skin, in words; also `restless`."""
    seen = frame.image if frame.thumbnail is None else frame.thumbnail
    bare = skin.share(seen) < skin.MIN_SHARE
    said = ("no skin in sight: point the camera at the lesion",) if bare else ()
    return (*restless(frame), *said)
