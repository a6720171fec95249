"""The part of `kit camera` that captures: `--capture`, and the buttons of page and broker."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from dermedge.cli_mqtt import MQTT
from dermedge.cli_web import WEB

if TYPE_CHECKING:
    from dermedge.live import Sighting
    from dermedge.trigger import Trigger

STEADY, KEY, BUTTON = "steady", "key", "button"

Captures = Annotated[
    list[str] | None,
    typer.Option(
        "--capture",
        help="Tell and record only: steady (a good picture for 1 s), key (space in the window, "
        "Enter in a terminal), button or button:PIN (GPIO), web or mqtt (their button); several "
        "may be given.",
        metavar="HOW",
    ),
]

# Name of a button -> whether it was pressed since it was last asked.
Buttons = Mapping[str, Callable[[], bool]]


class Capture:
    """Which of the judged frames are told and recorded."""

    def __init__(self, triggers: Sequence[Trigger], everything: bool) -> None:
        """With `everything` those that are not captured are told as well."""
        self._triggers, self._everything = triggers, everything

    def of(self, sighting: Sighting) -> dict[str, str] | None:
        """What the line of this frame says of its capture; None if it isn't told."""
        fired = [trigger.name for trigger in self._triggers if trigger.fired(sighting)]
        if fired:
            return {"capture": fired[0]}
        return {} if self._everything else None


def check(asked: Sequence[str], web: bool, mqtt: bool) -> None:
    """Refuse a `--capture` that there is not.

    Args:
        asked: The options, as given.
        web: Whether there is a page.
        mqtt: Whether there is a broker.

    Raises:
        BadParameter: Says what is expected.
    """
    for how in asked:
        name, _, pin = how.partition(":")
        if (how == WEB and not web) or (how == MQTT and not mqtt):
            raise typer.BadParameter(f"--capture {how}: add --{how}")
        is_button = name == BUTTON and re.fullmatch(r"[0-9]{0,3}", pin) is not None
        if how not in (STEADY, KEY, WEB, MQTT) and not is_button:
            raise typer.BadParameter(
                f"--capture {how}: expected steady, key, button, button:PIN, web or mqtt"
            )


def capture(stack: ExitStack, asked: Sequence[str], buttons: Buttons) -> Capture:
    """What `--capture` asks for, ready.

    Args:
        stack: Gives a GPIO pin back.
        asked: The options, as given; without any, everything is told.
        buttons: Of the window (`key`), the page (`web`) and the broker (`mqtt`), where they are
            there; the page's captures also if it is not asked for.
    """
    from dermedge.trigger import Asked

    check(asked, WEB in buttons, MQTT in buttons)
    triggers = [_trigger(stack, how, buttons) for how in asked]
    if WEB in buttons and WEB not in asked:
        triggers.append(Asked(WEB, buttons[WEB]))
    return Capture(triggers, not asked)


def _trigger(stack: ExitStack, how: str, buttons: Buttons) -> Trigger:
    from dermedge.button import PIN, Button
    from dermedge.trigger import Asked, Steady

    if how == STEADY:
        return Steady()
    if how in buttons:
        return Asked(how, buttons[how])
    if how == KEY:
        return _enter()
    pin = how.partition(":")[2]
    button = stack.enter_context(closing(Button(int(pin or PIN))))
    return Asked(BUTTON, button.pressed)


def _enter() -> Trigger:
    """Enter in the terminal, where there is no window."""
    from dermedge.trigger import Asked, entered

    if sys.platform == "win32" or not sys.stdin.isatty():
        raise typer.BadParameter("--capture key: there is neither a window nor a terminal")
    typer.echo("kit: Enter captures", err=True)
    return Asked(KEY, lambda: entered(sys.stdin.fileno()))
