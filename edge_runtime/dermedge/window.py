"""The picture on the screen: the frame, what the kit says of it, and how it must not be read."""

from __future__ import annotations

import os
import sys
import threading

import cv2
import numpy as np

from dermedge import guide, heatmap
from dermedge.closing import Closing
from dermedge.consensus import agreement
from dermedge.decide import Verdict
from dermedge.errors import MissingError
from dermedge.image import RGB
from dermedge.lettering import width, write
from dermedge.live import Sighting

NOTICE = "research software, not a medical device"
BOX = (960, 640)  # the frame is scaled to fit into it: width, height
COLOURS = {  # RGB; white text is readable on each
    Verdict.REFER: (190, 30, 30),
    Verdict.CLEAR: (20, 120, 50),
    Verdict.NAMED: (20, 90, 140),
    Verdict.UNCERTAIN: (185, 110, 0),
    Verdict.NOT_ASSESSABLE: (95, 95, 95),
}

_MIN_WIDTH = 480
_BAR, _LINE, _MARGIN = 56, 26, 12
_WORDS, _SOFT = 0.6, (150, 150, 150)  # scale of letters; RGB
_QUIT_KEYS = {ord("q"), 27}  # 27 is Esc
_CAPTURE_KEY, _HEAT_KEY, _FOCUS_KEY = ord(" "), ord("h"), ord("f")
_KEYS = "h  heat map     f  focus     space  capture     q  end"


def annotate(sighting: Sighting, remark: str = "", heat: bool = False) -> RGB:
    """Draw one judged frame with its smoothed verdict, what to mend, and the notice.

    Args:
        sighting: The judged frame.
        remark: Stands above the notice, see `dermedge.basis.remark`.
        heat: Lay the heat map of this frame over it, if the model gives one.

    Returns:
        A new image, uint8 (height, width, 3), RGB: a bar in the verdict's colour, the frame scaled
        to fit 960 x 640, a dark foot of two to four lines, and the keys.
    """
    frame, said = fitted(sighting.frame.image), ""
    if heat:
        frame, said = _heated(frame, sighting)
    frame = guide.draw(frame, sighting.diagnosis.bundle.contract.input)
    height, wide = frame.shape[:2]
    quality = f"quality: {sighting.diagnosis.quality.verdict}"
    lines = [text for text in (quality, said, remark, NOTICE) if text]
    foot = _MARGIN + _LINE * (len(lines) + 1)
    canvas = np.zeros((_BAR + height + foot, max(wide, _MIN_WIDTH), 3), np.uint8)
    left = (canvas.shape[1] - wide) // 2
    canvas[_BAR : _BAR + height, left : left + wide] = frame
    canvas[:_BAR] = COLOURS[sighting.smoothed_verdict]
    _headline(canvas, sighting)
    for number, line in enumerate(lines, 1):
        write(canvas, line, (_MARGIN, _BAR + height + _LINE * number), _WORDS)
    write(canvas, _KEYS, (_MARGIN, canvas.shape[0] - _MARGIN), 0.5, _SOFT)
    return canvas


def nothing(reason: str) -> RGB:
    """Draw that there is no picture, and why: the last one would pass for the present one."""
    canvas = np.zeros((_BAR * 3, BOX[0], 3), np.uint8)
    canvas[:_BAR] = COLOURS[Verdict.NOT_ASSESSABLE]
    write(canvas, "NO CAMERA", (_MARGIN, 38), 1.0)
    write(canvas, reason, (_MARGIN, _BAR + _LINE), _WORDS)
    write(canvas, NOTICE, (_MARGIN, _BAR + 2 * _LINE), _WORDS)
    return canvas


def fitted(image: RGB, box: tuple[int, int] = BOX) -> RGB:
    """Scale a picture until it just fits into a box: width, height, pixels."""
    height, width = image.shape[:2]
    scale = min(box[0] / width, box[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method)  # type: ignore[return-value]


class Window(Closing):
    """A window on this machine's screen; a context manager.

    Keys: h switches the heat map on and off, f asks the camera to focus, space asks for a capture,
    q or Esc ends.
    """

    def __init__(self, title: str = "kit camera", focus: threading.Event | None = None) -> None:
        """Open the window.

        Args:
            title: Of the window.
            focus: Is set when f is pressed, see `live.watch`.

        Raises:
            MissingError: This OpenCV has no windows, or this machine has no screen.
        """
        self._title = title
        self._focus = threading.Event() if focus is None else focus
        self._asked = self._heat = False
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
        """Show one judged frame; False once q or Esc was pressed or the window was closed.

        See `annotate` for what is drawn.
        """
        return self._draw(annotate(sighting, remark, self._heat))

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
        self._heat = self._heat != (key == _HEAT_KEY)
        if key == _FOCUS_KEY:
            self._focus.set()
        if key in _QUIT_KEYS:
            return False
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1


def _has_screen() -> bool:
    # Asked before OpenCV is: without a screen its Qt build ends the whole process.
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _heated(frame: RGB, sighting: Sighting) -> tuple[RGB, str]:
    """A frame with its heat map, and how to read it; without one the frame as it is, and why."""
    outputs, terms = sighting.diagnosis.outputs, sighting.diagnosis.bundle.contract
    evidence = heatmap.evidence(outputs, terms)
    if evidence is None:
        return frame, "this model gives no heat map"
    said = f"yellow speaks for {heatmap.target(outputs, terms)}, blue against"
    return heatmap.overlay(frame, evidence, terms.input), said


def _headline(canvas: RGB, sighting: Sighting) -> None:
    """What the frames say together, and at the right how many of them say so."""
    said = sighting.smoothed_decision.upper()
    if sighting.smoothed_probability is not None:
        said = f"{said}  {sighting.smoothed_probability:.2f}"
    note = agreement(sighting.agreeing, sighting.averaged)
    left = canvas.shape[1] - _MARGIN - width(note, _WORDS)
    write(canvas, said, (_MARGIN, 38), 1.0, end=left - _MARGIN)
    write(canvas, note, (left, 36), _WORDS, end=canvas.shape[1])
