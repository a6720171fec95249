"""A connection to an MQTT broker that comes back by itself, through paho."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from dermedge.bell import Bell
from dermedge.closing import Closing
from dermedge.errors import InputError, MissingError
from dermedge.mqtt.broker import VARIABLE, Broker
from dermedge.tidings import Tidings

_KEEPALIVE_S = 30
_RETRY_S, _RETRY_MOST_S = 1, 60
_QUEUE = 20  # messages that paho holds until the broker has them
_SENT, _KEPT = 0, 4  # of paho's codes; the latter: no connection any more, so for the next one
_SOUND_S = 10.0  # a connection that lasted so long was a good one
_CLOSE_S = 2.0


class Link(Closing):
    """One connection; paho keeps it in a thread of its own, so nothing here waits but `close`.

    Attributes:
        greeted: False from each new connection on; to be set by whoever greets.
    """

    def __init__(
        self, broker: Broker, name: str, farewell: tuple[str, str], wish: tuple[str, str] | None
    ) -> None:
        """Begin to connect; a broker that is away is tried again as long as it takes.

        Args:
            broker: It.
            name: The client's name; a second client of this name would end the connection.
            farewell: Topic and text that the broker sends to all, retained, when we are gone.
            wish: Topic and text that `asked` is about; None: nobody is listened to.

        Raises:
            InputError: The CA file can't be used.
            MissingError: paho is not installed.
        """
        self.greeted = True
        self._broker, self._farewell, self._wish = broker, farewell, wish
        self._connected, self._since = False, 0.0
        self._told: set[str] = set()  # kinds of trouble
        self._pending = True  # whether it is worth telling that it works
        self._news = Tidings()
        self._asked = Bell()
        self._waiting: dict[str, Any] = {}  # the last message of each topic
        self._client = self._made(name)
        self._client.connect_async(broker.host, broker.port, _KEEPALIVE_S)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in, as far as is known."""
        return self._connected

    def send(self, topic: str, payload: str, retain: bool = False) -> bool:
        """Send a message that has to arrive (QoS 1); False if too many are on their way."""
        return self._client.publish(topic, payload, 1, retain).rc in (_SENT, _KEPT)

    def send_newest(self, topic: str, payload: str | bytes) -> bool:
        """Send one that the next one outdates (QoS 0); False if the last one hasn't left yet."""
        last = self._waiting.get(topic)
        if last is not None and last.rc == _SENT and not last.is_published():
            return False
        self._waiting[topic] = info = self._client.publish(topic, payload, 0)
        return info.rc == _SENT

    def asked(self) -> bool:
        """Whether the wish was heard since the last call."""
        return self._asked.heard()

    def news(self) -> list[str]:
        """What has happened to the connection since the last call, in words."""
        return self._news.take()

    def close(self) -> None:
        """Say farewell and end the connection; after a few seconds in any case."""
        if self._connected:
            with suppress(RuntimeError, ValueError):  # it went, or its queue is full
                self._client.publish(*self._farewell, 1, True).wait_for_publish(_CLOSE_S)
        self._connected = False  # what ends now is no news
        self._client.disconnect()
        # It joins a thread that may be asking for the host's address, for as long as that takes.
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(_CLOSE_S)

    def _made(self, name: str) -> Any:
        try:
            import paho.mqtt.client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise MissingError(
                "MQTT needs paho-mqtt; run: pip install 'dermkit[mqtt]' "
                "(on a device: 'dermkit-edge[mqtt]')"
            ) from error
        client = paho.Client(CallbackAPIVersion.VERSION2, name)
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            self._secure(client)
        client.will_set(*self._farewell, 1, True)
        client.max_queued_messages_set(_QUEUE)
        client.reconnect_delay_set(_RETRY_S, _RETRY_MOST_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _secure(self, client: Any) -> None:
        file = self._broker.ca_file
        try:
            client.tls_set(ca_certs=str(file) if file else None)
        except OSError as error:  # of which those of TLS are a kind
            raise InputError(f"the CA file {file} can't be used: {error}") from error

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if reason.is_failure:
            self._trouble(
                "refused",
                f"refuses the camera: {reason}; check the user in the URL and the password "
                f"(${VARIABLE} or --mqtt-password-file)",
            )
            return
        if self._wish:
            client.subscribe(self._wish[0], 1)
        if self._pending:
            self._say("is connected")
        self._pending = False
        self._since = time.monotonic()
        self._connected, self.greeted = True, False

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this while it handles the error, and hands none over
        kind = "untrusted" if isinstance(error, ssl.SSLError) else "away"
        self._trouble(kind, f"can't be reached: {error}")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if not self._connected:  # it never let us in, which has been told
            return
        self._connected = False
        if time.monotonic() - self._since >= _SOUND_S:
            self._told.clear()
            self._trouble("away", f"is gone: {reason}")
        else:
            self._trouble(
                "away", f"is gone at once: {reason} (does a second camera bear the same name?)"
            )

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        wished = self._wish is not None and message.payload == self._wish[1].encode()
        if wished and not message.retain:  # what is retained was wished who knows when
            self._asked.ring()

    def _trouble(self, kind: str, text: str) -> None:
        """Tell each kind once, until there has been a good connection."""
        if kind not in self._told:
            self._told.add(kind)
            self._pending = True
            self._say(f"{text}. It is tried again until it works; nothing waits for it")

    def _say(self, text: str) -> None:
        self._news.tell(f"{self._broker.name} {text}")
