"""The picture on the screen: the frame, what the kit says of it, and how it must not be read."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np

from dermedge.closing import Closing
from dermedge.decide import Verdict
from dermedge.errors import MissingError
from dermedge.image import RGB
from dermedge.live import Sighting

NOTICE = "research software, not a medical device"
COLOURS = {  # RGB; white text is readable on each
    Verdict.REFER: (190, 30, 30),
    Verdict.CLEAR: (20, 120, 50),
    Verdict.NAMED: (20, 90, 140),
    Verdict.UNCERTAIN: (185, 110, 0),
    Verdict.NOT_ASSESSABLE: (95, 95, 95),
}

_BOX = (960, 640)  # the frame is scaled to fit into it: width, height
_MIN_WIDTH = 480
_BAR, _LINE, _MARGIN = 56, 26, 12
_QUIT_KEYS = {ord("q"), 27}  # 27 is Esc
_CAPTURE_KEY = ord(" ")
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(sighting: Sighting, remark: str = "") -> RGB:
    """Draw one judged frame with its smoothed verdict, what to mend, and the notice.

    Args:
        sighting: The judged frame.
        remark: Stands above the notice, see `dermedge.basis.remark`.

    Returns:
        A new image, uint8 (height, width, 3), RGB: a bar in the verdict's colour, the frame scaled
        to fit 960 x 640, a dark foot with two lines, or three.
    """
    frame = _fit(sighting.frame.image)
    height, width = frame.shape[:2]
    lines = [
        f"quality: {sighting.diagnosis.quality.verdict}",
        *([remark] if remark else []),
        NOTICE,
    ]
    foot = _MARGIN + _LINE * len(lines)
    canvas = np.zeros((_BAR + height + foot, max(width, _MIN_WIDTH), 3), np.uint8)
    left = (canvas.shape[1] - width) // 2
    canvas[_BAR : _BAR + height, left : left + width] = frame
    canvas[:_BAR] = COLOURS[sighting.smoothed_verdict]
    _text(canvas, _headline(sighting), 38, 1.0)
    for number, line in enumerate(lines, 1):
        _text(canvas, line, _BAR + height + _LINE * number, 0.6)
    return canvas


def nothing(reason: str) -> RGB:
    """Draw that there is no picture, and why: the last one would pass for the present one."""
    canvas = np.zeros((_BAR * 3, _BOX[0], 3), np.uint8)
    canvas[:_BAR] = COLOURS[Verdict.NOT_ASSESSABLE]
    _text(canvas, "NO CAMERA", 38, 1.0)
    _text(canvas, reason, _BAR + _LINE, 0.6)
    _text(canvas, NOTICE, _BAR + 2 * _LINE, 0.6)
    return canvas


class Window(Closing):
    """A window on this machine's screen; a context manager."""

    def __init__(self, title: str = "kit camera") -> None:
        """Open the window.

        Raises:
            MissingError: This OpenCV has no windows, or this machine has no screen.
        """
        self._title = title
        self._asked = False
        if not _has_screen():
            raise MissingError("no screen here (DISPLAY is not set); use --no-window")
        try:
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE)
        except cv2.error as error:
            raise MissingError(
                "this OpenCV can't open windows; use --no-window, or install opencv-python in "
                "place of opencv-python-headless"
            ) from error

    def show(self, sighting: Sighting, remark: str = "") -> bool:
        """Show one judged frame; False once q or Esc was pressed or the window was closed."""
        return self._draw(annotate(sighting, remark))

    def show_nothing(self, reason: str) -> bool:
        """Show that there is no camera, and why; see `show`."""
        return self._draw(nothing(reason))

    def asked(self) -> bool:
        """Whether space was pressed since the last call."""
        found, self._asked = self._asked, False
        return found

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def _draw(self, image: RGB) -> bool:
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        self._asked = self._asked or key == _CAPTURE_KEY
        if key in _QUIT_KEYS:
            return False
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1


def _has_screen() -> bool:
    # Asked before OpenCV is: without a screen its Qt build ends the whole process.
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _headline(sighting: Sighting) -> str:
    said = sighting.smoothed_decision.upper()
    if sighting.smoothed_probability is None:
        return said
    return f"{said}  {sighting.smoothed_probability:.2f}"


def _fit(image: RGB) -> RGB:
    height, width = image.shape[:2]
    scale = min(_BOX[0] / width, _BOX[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method)  # type: ignore[return-value]


def _text(canvas: RGB, text: str, baseline: int, scale: float) -> None:
    """Write one white line at `baseline`, smaller if it is too long for the canvas."""
    room = canvas.shape[1] - 2 * _MARGIN
    width = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale *= min(1.0, room / max(width, 1))
    cv2.putText(canvas, text, (_MARGIN, baseline), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
