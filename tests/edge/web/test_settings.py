import dataclasses
from pathlib import Path

import pytest

from dermedge.errors import InputError
from dermedge.web.settings import MIN_TOKEN, Settings, new_token

TOKEN = "t" * MIN_TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str):
    Settings(host=host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera.example", ""])
def test_the_network_needs_a_token(host: str):
    with pytest.raises(InputError, match="set a token"):
        Settings(host=host).check()
    Settings(host=host, token=TOKEN).check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": 65536}, "0 to 65535"),
        ({"port": -1}, "0 to 65535"),
        ({"token": "short"}, "16 or more"),
        ({"token": TOKEN + "\n"}, "16 or more"),
        ({"token": TOKEN + "é"}, "16 or more"),
        ({"certificate": Path("a")}, "both"),
        ({"key": Path("a")}, "both"),
    ],
)
def test_what_can_not_be_meant_is_refused(given: dict, said: str):
    with pytest.raises(InputError, match=said):
        dataclasses.replace(Settings(), **given).check()


def test_a_new_token_is_long_enough_and_new():
    first, second = new_token(), new_token()
    assert first != second
    Settings(host="0.0.0.0", token=first).check()


def test_the_token_is_not_printed_with_the_settings():
    assert TOKEN not in repr(Settings(token=TOKEN))
