"""Video files and folders of photographs, shown as a camera would show them."""

from __future__ import annotations

from pathlib import Path

import cv2

from dermedge import image
from dermedge.errors import ImageError, InputError
from dermedge.image import RGB
from dermedge.opencv import next_frame

FPS = 10.0
VIDEOS = frozenset({".avi", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


class Video:
    """A video file, replayed at its own frame rate."""

    skipped = ()

    def __init__(self, path: Path) -> None:
        """Open it; any ending outside `VIDEOS` is refused, since FFmpeg "plays" even text."""
        self.name = str(path)
        if not path.is_file():
            raise InputError(f"{path} is no file, folder or camera; cameras are 0, /dev/video0, …")
        self._capture = cv2.VideoCapture(str(path) if path.suffix.lower() in VIDEOS else "")
        if not self._capture.isOpened():
            raise InputError(f"{path} is not a readable video ({', '.join(sorted(VIDEOS))})")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.interval = 1 / fps if 1 <= fps <= 240 else 1 / 25
        self._seen = False

    def read(self) -> RGB | None:
        """The next frame; see `Source.read`."""
        frame = next_frame(self._capture)
        if frame is None and not self._seen:
            raise InputError(f"{self.name} holds no frame that can be decoded; copy it again")
        self._seen = True
        return frame

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


class Replay:
    """Photographs in the order of their paths, as a camera would show them."""

    def __init__(self, path: Path, fps: float = FPS) -> None:
        """List a folder's photographs, or take the one that `path` is."""
        if not fps > 0:
            raise InputError(f"expected fps above 0, got {fps}")
        paths = image.find(path) if path.is_dir() else [path]
        if not paths:
            raise InputError(f"{path} holds no photograph ({', '.join(sorted(image.ENDINGS))})")
        self.name = str(path)
        self.interval = 1 / fps
        self.skipped: list[str] = []
        self._total = len(paths)
        self._paths = iter(paths)

    def read(self) -> RGB | None:
        """The next photograph that can be read; see `Source.read`."""
        for path in self._paths:
            try:
                return image.read(path)
            except ImageError as error:
                self.skipped.append(str(error))
        if len(self.skipped) == self._total:
            raise InputError(f"{self.name}: no photograph can be read. {self.skipped[0]}")
        return None

    def close(self) -> None:
        """Nothing is held between two photographs."""
