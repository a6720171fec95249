"""The part of `kit camera` that captures: `--capture`."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dermedge.live import Sighting
    from dermedge.trigger import Trigger
    from dermedge.window import Window

STEADY, KEY, BUTTON = "steady", "key", "button"

Captures = Annotated[
    list[str] | None,
    typer.Option(
        "--capture",
        help="Tell and record only: steady (a good picture for 1 s), key (space in the window, "
        "Enter in a terminal), button or button:PIN (GPIO); several may be given.",
        metavar="HOW",
    ),
]


class Capture:
    """Which of the judged frames are told and recorded; all of them if nothing else is asked."""

    def __init__(self, triggers: list[Trigger]) -> None:
        self._triggers = triggers

    def of(self, sighting: Sighting) -> dict[str, str] | None:
        """What the line of this frame says of its capture; None if it isn't captured."""
        if not self._triggers:
            return {}
        fired = [trigger.name for trigger in self._triggers if trigger.fired(sighting)]
        return {"capture": fired[0]} if fired else None


def capture(stack: ExitStack, asked: list[str] | None, screen: Window | None) -> Capture:
    """What `--capture` asks for, ready; the stack gives the button's pin back."""
    return Capture([_trigger(stack, how, screen) for how in asked or ()])


def _trigger(stack: ExitStack, how: str, screen: Window | None) -> Trigger:
    from dermedge.button import PIN, Button
    from dermedge.trigger import Asked, Steady

    if how == STEADY:
        return Steady()
    if how == KEY:
        return _key(screen)
    name, _, pin = how.partition(":")
    if name != BUTTON or not (pin or "0").isdecimal():
        raise typer.BadParameter(f"--capture {how}: expected steady, key, button or button:PIN")
    button = stack.enter_context(closing(Button(int(pin or PIN))))
    return Asked(BUTTON, button.pressed)


def _key(screen: Window | None) -> Trigger:
    from dermedge.trigger import Asked, entered

    if screen is not None:
        return Asked(KEY, screen.asked)
    if sys.platform == "win32" or not sys.stdin.isatty():
        raise typer.BadParameter("--capture key: there is neither a window nor a terminal")
    typer.echo("kit: Enter captures", err=True)
    return Asked(KEY, lambda: entered(sys.stdin.fileno()))
