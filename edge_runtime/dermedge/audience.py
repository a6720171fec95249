"""Who sees and hears what a camera is judged to show: record, page, broker, window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dermedge.live import Sighting
    from dermedge.mqtt.publisher import Publisher
    from dermedge.recorder import Recorder
    from dermedge.web.preview import Preview
    from dermedge.window import Window


@dataclass(frozen=True, slots=True)
class Audience:
    """Those of them that there are."""

    recorder: Recorder | None = None
    preview: Preview | None = None
    publisher: Publisher | None = None
    window: Window | None = None

    @property
    def buttons(self) -> Mapping[str, Callable[[], bool]]:
        """Name of each one's button -> whether it was pressed since it was last asked."""
        each = {"key": self.window, "web": self.preview, "mqtt": self.publisher}
        return {name: found.asked for name, found in each.items() if found is not None}

    def tell(self, line: dict[str, Any], sighting: Sighting) -> dict[str, Any]:
        """A judgement is told: recorded first, so that nobody hears of one that is lost.

        Page and broker hear of those alone that were captured; they see the others pass by.

        Returns:
            The line, with what the record adds to it.

        Raises:
            StorageError: It can't be recorded.
        """
        if self.recorder is not None:
            line = self.recorder.add(line, sighting.frame.image, sighting.time)
        for listener in (self.preview, self.publisher) if "capture" in line else ():
            if listener is not None:
                listener.tell(line)
        return line

    def show(self, sighting: Sighting, remark: str) -> bool:
        """A frame was judged; False once the window was closed."""
        return all(viewer.show(sighting, remark) for viewer in self._viewers())

    def show_nothing(self, reason: str) -> bool:
        """There is no camera, and why; see `show`."""
        for asked in self.buttons.values():
            asked()  # a wish is for what is seen now, not for what comes once it is back
        return all(viewer.show_nothing(reason) for viewer in self._viewers())

    def _viewers(self) -> list[Preview | Publisher | Window]:
        # The window is the last: only it can say that it is enough.
        each = (self.preview, self.publisher, self.window)
        return [viewer for viewer in each if viewer is not None]
