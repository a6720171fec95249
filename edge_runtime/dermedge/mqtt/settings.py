"""What is told to a broker, and under which names."""

from __future__ import annotations

from dataclasses import dataclass

from dermedge.mqtt.broker import Broker
from dermedge.mqtt.topics import Topics


@dataclass(frozen=True, slots=True)
class Settings:
    """What is told to whom.

    Attributes:
        broker: Where messages go.
        topics: Under which names.
        name: Of the camera, as people read it.
        pictures: Whether the pictures of captured judgements are sent too.
        button: Whether the broker may ask the camera to capture.
    """

    broker: Broker
    topics: Topics
    name: str
    pictures: bool = False
    button: bool = False
