"""The part of `kit camera` that tells an MQTT broker: `--mqtt`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dermedge.diagnose import Diagnostician
    from dermedge.mqtt.publisher import Publisher
    from dermedge.mqtt.settings import Settings

MQTT = "mqtt"  # as in --capture mqtt

Url = Annotated[
    str | None,
    typer.Option(
        "--mqtt",
        help="Tell an MQTT broker, and Home Assistant through it, of every judgement: "
        "mqtts://user@host. The password is in $KIT_MQTT_PASSWORD.",
        metavar="URL",
    ),
]
PasswordFile = Annotated[
    Path | None, typer.Option("--mqtt-password-file", help="The broker's password, in a file.")
]
CaFile = Annotated[
    Path | None,
    typer.Option("--mqtt-ca", help="Who may have signed the broker's certificate, PEM. [system's]"),
]
Topic = Annotated[str, typer.Option("--mqtt-topic", help="The topic above those of all cameras.")]
Name = Annotated[
    str | None, typer.Option("--mqtt-name", help="The camera's name there. [this machine's]")
]
SendPictures = Annotated[
    bool, typer.Option("--mqtt-pictures", help="Send the pictures of captured judgements too.")
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for, as they were given."""

    url: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    topic: str = "dermkit"
    name: str | None = None
    pictures: bool = False


def settings(wish: Wish, button: bool, password: str | None) -> Settings | None:
    """What is told to which broker; None without `--mqtt`.

    Args:
        wish: The options.
        button: Whether `--capture mqtt` is asked for.
        password: Of the broker's user.

    Raises:
        KitError: An option can't be used.
    """
    if wish.url is None:
        if button or wish != Wish():
            raise typer.BadParameter("--mqtt-… and --capture mqtt need a broker: --mqtt URL")
        return None
    from dermedge.mqtt.broker import parse
    from dermedge.mqtt.settings import Settings
    from dermedge.mqtt.topics import Topics, checked, identifier

    name = wish.name or socket.gethostname()
    topics = Topics(checked(wish.topic), identifier(name))
    return Settings(parse(wish.url, password, wish.ca_file), topics, name, wish.pictures, button)


def publisher(
    stack: ExitStack,
    wish: Wish,
    button: bool,
    diagnostician: Diagnostician,
    say: Callable[[str], None],
) -> Publisher | None:
    """A publisher as the options ask for it; None without `--mqtt`. The stack closes it.

    Args:
        stack: Closes it.
        wish: The options.
        button: Whether `--capture mqtt` is asked for.
        diagnostician: Judges; its present bundle is told of.
        say: Prints one line for people.

    Raises:
        KitError: An option can't be used.
    """
    wanted = settings(wish, button, _password(wish))
    if wanted is None:
        return None
    from dermedge import basis
    from dermedge.mqtt.publisher import Publisher

    if wanted.broker.remark:
        say(wanted.broker.remark)

    def about() -> dict[str, object]:
        opened = diagnostician.bundle
        return {
            "notice": opened.contract.notice,
            **basis.of(opened.contract, opened.signature),
            "bundle": opened.sha256,
        }

    return stack.enter_context(Publisher(wanted, about, say))


def _password(wish: Wish) -> str | None:
    if wish.url is None:
        return None
    from dermedge.mqtt.broker import VARIABLE, load_password

    return load_password(wish.password_file, os.environ.get(VARIABLE))
