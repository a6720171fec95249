"""The MQTT broker that messages go to: its URL, its password, and who can read along."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from dermedge import secret
from dermedge.errors import InputError
from dermedge.loopback import is_loopback

VARIABLE = "KIT_MQTT_PASSWORD"  # read by the commands, never here

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker and how to log in there.

    Attributes:
        host: Its name or address.
        port: TCP.
        tls: Whether the connection is encrypted, and the broker's certificate checked.
        user: Whom to log in as; None: nobody.
        password: Of the user; never part of a text.
        ca_file: Certificates that may have signed the broker's, PEM; None: those of the system.
    """

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @property
    def name(self) -> str:
        """Its URL, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    @property
    def remark(self) -> str:
        """What the user has to know before anything is sent; empty if nothing leaves readable."""
        if self.tls or is_loopback(self.host):
            return ""
        what = "the password and all judgements" if self.password else "all judgements"
        return f"{self.name}: {what} travel unencrypted; use mqtts:// if the broker has TLS"


def parse(url: str, password: str | None = None, ca_file: Path | None = None) -> Broker:
    """Read `mqtt://user@host:1883` or `mqtts://…`; user and port may be left out.

    Args:
        url: The broker's.
        password: Of the user in `url`.
        ca_file: See `Broker`.

    Raises:
        InputError: It is no such URL, it holds a password, or the rest doesn't fit to it.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that hold no address
        raise InputError("the broker: expected a host, as in mqtt://user@host:1883") from error
    # Not one word of the URL itself: what is wrong with it may be where its password stands.
    if parts.scheme not in _PORTS:
        raise InputError("the broker: expected mqtt://user@host:1883 or mqtts://user@host:8883")
    if parts.password is not None:
        raise InputError(
            "the broker's password is not for the command line, where every user of this machine "
            f"can read it; put it into ${VARIABLE} or into a file (--mqtt-password-file)"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InputError("the broker: nothing follows host and port; the topic is --mqtt-topic")
    host, port = _address(parts)
    user = unquote(parts.username) if parts.username else None
    if password is not None and user is None:
        raise InputError(f"the broker {host}: a password needs a user: mqtt://user@{host}")
    if ca_file is not None and parts.scheme != "mqtts":
        raise InputError(f"the broker {host}: a CA file is for mqtts:// only")
    return Broker(host, port, parts.scheme == "mqtts", user, password, ca_file)


def load_password(file: Path | None, text: str | None) -> str | None:
    """The first line of a file, else a text such as that of $KIT_MQTT_PASSWORD; None if neither.

    Raises:
        InputError: The file can't be read, is empty, or anybody may read it.
    """
    if file is None:
        return text or None
    lines = secret.read(file, "password").splitlines()
    if not lines or not lines[0]:
        raise InputError(f"the password {file} is empty; its first line is the password")
    return lines[0]


def _address(parts: SplitResult) -> tuple[str, int]:
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:  # a port that is none
        raise InputError("the broker: its port is a number from 1 to 65535") from error
    if not host or not host.isprintable() or " " in host or port == 0:
        raise InputError("the broker: expected a host, as in mqtt://user@host:1883")
    try:
        host.encode("idna")  # as the resolver will, in a thread that would end of it in silence
    except UnicodeError as error:
        raise InputError(
            "the broker: its host is no name: between two dots stand 1 to 63 letters, digits or -"
        ) from error
    return host, port or _PORTS[parts.scheme]
