"""What a camera tells an MQTT broker, and with it Home Assistant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dermedge.closing import Closing
from dermedge.live import Sighting
from dermedge.mqtt import discovery, outbox
from dermedge.mqtt.link import Link
from dermedge.mqtt.outbox import Outbox
from dermedge.mqtt.sender import Sender
from dermedge.mqtt.settings import Settings
from dermedge.mqtt.vitals import Vitals


class Publisher(Closing):
    """Tells a broker what a camera sees; a context manager.

    It never makes the camera wait. While the broker is away, the newest state and the last 100
    captured judgements are kept in memory, and no more; a picture that can't be sent at once is
    dropped for a newer one.
    """

    def __init__(
        self,
        settings: Settings,
        about: Callable[[], Mapping[str, Any]],
        news: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Begin to connect.

        Args:
            settings: What is told to whom.
            about: What the present model's judgements rest on, as JSON; nothing of a patient, for
                it is retained.
            news: Called with each thing that happens to the connection, in words, in the thread
                that calls `show`.

        Raises:
            InputError: The CA file can't be used.
            MissingError: paho is not installed.
        """
        topics = settings.topics
        self._about, self._news = about, news
        self._pictures, self._wanted = settings.pictures, -1
        self._outbox, self._vitals = Outbox(), Vitals()
        self._link = Link(
            settings.broker,
            f"dermkit-{topics.device}",
            (topics.status, discovery.OFFLINE),
            (topics.capture, discovery.PRESS) if settings.button else None,
        )
        self._sender = Sender(self._link, settings, self._outbox, self._vitals)

    def show(self, sighting: Sighting, remark: str = "") -> bool:
        """Tell of one judged frame; `remark` as `dermedge.basis.remark` gives it. Always True."""
        self._vitals.count(sighting)
        self._outbox.about = {**self._about(), "remark": remark}
        self._outbox.put(outbox.seen(sighting), time.monotonic())
        if sighting.frame.number == self._wanted:
            self._outbox.pictures.append(sighting.frame.image)
        return self._tell_news()

    def show_nothing(self, reason: str) -> bool:
        """Tell that there is no camera, and why; see `show`."""
        self._outbox.put(outbox.unseen(reason), time.monotonic())
        return self._tell_news()

    def tell(self, line: Mapping[str, Any]) -> None:
        """Tell of one captured judgement, as JSON.

        Its picture, if pictures are sent, follows when `show` brings the frame of that number.
        """
        self._outbox.add(line)
        if self._pictures:
            self._wanted = line["frame"]

    def asked(self) -> bool:
        """Whether the broker has asked for a capture since the last call."""
        return self._link.asked()

    def close(self) -> None:
        """Send what is left if the broker is there, and say farewell."""
        self._sender.close()
        self._tell_news()

    def _tell_news(self) -> bool:
        for text in self._link.news():
            self._news(text)
        return True
