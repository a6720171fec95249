"""The thread that empties the outbox of a camera into an MQTT broker."""

from __future__ import annotations

import json
import threading
import time

from dermedge.closing import Closing
from dermedge.image import to_jpeg
from dermedge.mqtt import discovery
from dermedge.mqtt.link import Link
from dermedge.mqtt.outbox import Outbox, Pace
from dermedge.mqtt.settings import Settings
from dermedge.mqtt.vitals import Vitals

VITALS_S = 20.0

_FIRST_VITALS_S = 2.0  # by then there is something to count
_TICK_S = 0.1
_JOIN_S = 5.0
_QUALITY = 90  # JPEG


class Sender(Closing):
    """Sends what is in an outbox, and how the machine fares, whenever the broker is there."""

    def __init__(self, link: Link, settings: Settings, outbox: Outbox, vitals: Vitals) -> None:
        """Start the thread.

        Args:
            link: To the broker; closed with the sender.
            settings: What is told, and under which names.
            outbox: What is to be sent.
            vitals: Read every `VITALS_S` seconds.
        """
        self._link, self._settings, self._topics = link, settings, settings.topics
        self._outbox, self._vitals = outbox, vitals
        self._decisions = list(discovery.DECISIONS)
        self._pace = Pace()
        self._about: dict[str, object] | None = None
        self._vitals_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dermedge-mqtt", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is left, say farewell, end the thread and the link."""
        self._stop.set()
        self._thread.join(_JOIN_S)
        self._link.close()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            self._send(time.monotonic())
        self._send(time.monotonic())

    def _send(self, now: float) -> None:
        if not self._link.connected:
            return
        if not self._link.greeted:
            self._greet(now)
        self._send_about()
        self._send_state(now)
        self._send_events()
        self._send_picture()
        if now >= self._vitals_at:
            self._vitals_at = now + VITALS_S
            vitals = {**self._vitals.read(now), "lost": self._outbox.lost}
            self._link.send_newest(self._topics.vitals, json.dumps(vitals))

    def _greet(self, now: float) -> None:
        """Say who and what this is; whoever listens may know nothing of it."""
        # First of all: should this connection end meanwhile, then the next one is greeted too.
        self._link.greeted = True
        done = self._discover()
        done = self._link.send(self._topics.status, discovery.ONLINE, retain=True) and done
        if not done:  # too much is on its way
            self._link.greeted = False
        self._about, self._vitals_at = None, now + _FIRST_VITALS_S
        self._pace.reset()

    def _discover(self) -> bool:
        found = discovery.payload(self._settings, self._decisions)
        return self._link.send(self._topics.discovery, json.dumps(found), retain=True)

    def _send_about(self) -> None:
        about = self._outbox.about
        if about is None or about == self._about:
            return
        if self._link.send(self._topics.about, json.dumps(about), retain=True):
            self._about = about

    def _send_state(self, now: float) -> None:
        state = self._outbox.state(now)
        if state is None or not self._pace.due(state, now):
            return
        if state["decision"] not in self._decisions:
            self._decisions.append(state["decision"])
            self._discover()
        if self._link.send_newest(self._topics.state, json.dumps(state)):
            self._pace.sent(state, now)

    def _send_events(self) -> None:
        while (event := self._outbox.first()) is not None:
            said = json.dumps({"event_type": discovery.EVENT, **event})
            if not self._link.send(self._topics.captured, said):
                return
            self._outbox.sent(event)

    def _send_picture(self) -> None:
        if self._outbox.pictures:
            picture = self._outbox.pictures.popleft()
            self._link.send_newest(self._topics.picture, to_jpeg(picture, _QUALITY))
