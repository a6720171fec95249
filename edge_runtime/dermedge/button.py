"""A push button between a GPIO pin of a Raspberry Pi and ground, through gpiozero."""

from __future__ import annotations

import warnings

from dermedge.bell import Bell
from dermedge.errors import InputError, MissingError

PIN = 17

_BOUNCE_S = 0.05  # the contacts of a cheap button chatter for some milliseconds


class Button:
    """A button; it is pressed in a thread of gpiozero."""

    def __init__(self, pin: int = PIN) -> None:
        """Claim the pin, with its pull-up resistor.

        Args:
            pin: As the chip counts them (BCM): 17 is pin 11 of the header.

        Raises:
            InputError: There is no such pin, or it is in use.
            MissingError: gpiozero is not installed, or there is no GPIO here.
        """
        try:
            import gpiozero  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingError(
                "a button needs gpiozero: pip install 'dermkit-edge[gpio]', and on the Raspberry "
                "Pi: sudo apt install python3-lgpio"
            ) from error
        self._pressed = Bell()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of each library that it tries in vain
                self._device = gpiozero.Button(pin, pull_up=True, bounce_time=_BOUNCE_S)
        except ImportError as error:
            raise MissingError(
                f"no GPIO here ({error}); on a Raspberry Pi: sudo apt install python3-lgpio, and "
                "a user of the group gpio"
            ) from error
        except (gpiozero.GPIOZeroError, ValueError) as error:
            raise InputError(f"a button on GPIO {pin}: {error}") from error
        self._device.when_pressed = self._pressed.ring

    def pressed(self) -> bool:
        """Whether it was pressed since the last call."""
        return self._pressed.heard()

    def close(self) -> None:
        """Give the pin back."""
        self._device.close()
