"""Whether the options of `kit camera` can be meant, before anything is opened or built."""

from __future__ import annotations

from collections.abc import Sequence

from dermedge import cli_capture, cli_mqtt, cli_record, cli_web


def check(
    captures: Sequence[str], record: cli_record.Wish, page: cli_web.Wish, broker: cli_mqtt.Wish
) -> None:
    """Refuse what can't be meant; no file is read, and nothing asked of this machine.

    Raises:
        BadParameter: An option that makes no sense, alone or without another.
        InputError: Likewise; never with a password that stands in it.
    """
    cli_record.check(record)
    cli_web.check(page)
    # What the password is, is seen by whoever reads its file.
    cli_mqtt.settings(broker, cli_mqtt.MQTT in captures, "unread" if broker.password_file else None)
    cli_capture.check(captures, page.wanted, broker.url is not None)
