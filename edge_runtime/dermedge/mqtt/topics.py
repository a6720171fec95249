"""The names under which a camera's messages lie on an MQTT broker."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from dermedge.errors import InputError

_NAME_CHARACTERS = 64
_BASE_CHARACTERS = 200
_HASH_DIGITS = 6
# What no broker, client or access list reads as anything else: + and # are wildcards to MQTT, a
# leading $ is the broker's own, NUL is forbidden.
_LEVEL = r"[A-Za-z0-9_.-]+"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one camera; see docs/mqtt.md for what each of them holds.

    Attributes:
        base: Above the topics of all cameras, see `checked`.
        device: The camera's, see `identifier`.
    """

    base: str
    device: str

    @property
    def status(self) -> str:
        """`online` or `offline`."""
        return self._beneath("status")

    @property
    def about(self) -> str:
        """What judgements rest on: the notice, the model, its signature."""
        return self._beneath("about")

    @property
    def state(self) -> str:
        """The newest judgement."""
        return self._beneath("state")

    @property
    def vitals(self) -> str:
        """How the machine fares."""
        return self._beneath("vitals")

    @property
    def captured(self) -> str:
        """Each captured judgement."""
        return self._beneath("captured")

    @property
    def picture(self) -> str:
        """Each captured picture."""
        return self._beneath("picture")

    @property
    def capture(self) -> str:
        """Where the camera is asked to capture."""
        return self._beneath("capture")

    @property
    def discovery(self) -> str:
        """Where Home Assistant looks for it."""
        return f"homeassistant/device/{self.device}/config"

    def _beneath(self, level: str) -> str:
        return f"{self.base}/{self.device}/{level}"


def checked(base: str) -> str:
    """A base topic that may be used.

    Raises:
        InputError: It may not.
    """
    if len(base) > _BASE_CHARACTERS or not re.fullmatch(rf"{_LEVEL}(?:/{_LEVEL})*", base):
        raise InputError(
            f"the topic {base!r}: expected levels of letters, digits, _ . and -, with / between "
            f"them, e.g. clinic/room2, {_BASE_CHARACTERS} characters at most"
        )
    return base


def identifier(name: str) -> str:
    """What stands for a camera's name in topics and in Home Assistant: letters, digits, _ and -.

    A name that has to be changed for that gets a part of its hash, so that Room 1 and Room-1 stay
    two cameras.

    Raises:
        InputError: It is empty or too long, or holds what can't be shown.
    """
    if not name.strip() or len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise InputError(
            f"the name {name!r}: expected 1 to {_NAME_CHARACTERS} characters that can be shown"
        )
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")
    if found == name:
        return name
    short = hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{found}-{short}" if found else short
