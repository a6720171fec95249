from pathlib import Path

import pytest

from dermedge.web import link
from dermedge.web.settings import Settings

TOKEN = "a-token-of-the-tests-only"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8077/"),
        ({"host": "localhost", "port": 9000}, "http://localhost:9000/"),
        ({"host": "::1"}, "http://[::1]:8077/"),
        ({"certificate": Path("c"), "key": Path("k")}, "https://127.0.0.1:8077/"),
    ],
)
def test_the_address_is_one_that_a_browser_takes(given: dict, address: str):
    assert link.address(Settings(**given)) == address
    assert link.link(Settings(**given)) == address


def test_the_token_stands_where_no_server_sees_it():
    settings = Settings(token=TOKEN)
    assert TOKEN not in link.address(settings)
    assert link.link(settings) == f"http://127.0.0.1:8077/#token={TOKEN}"


def test_every_address_of_the_machine_is_shown_as_one():
    shown = link.address(Settings(host="0.0.0.0", token=TOKEN))
    assert shown.startswith("http://")
    assert "0.0.0.0" not in shown


def test_the_qr_code_says_what_was_given(tmp_path: Path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    text = link.link(Settings(host="192.168.1.4", token=TOKEN))
    # Half blocks: each sign is two modules, one above the other.
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    rows = [[halves[sign] for sign in line] for line in link.qr(text).splitlines()]
    width = max(map(len, rows))
    modules = np.array([row + [(0, 0)] * (width - len(row)) for row in rows], np.uint8)
    light = modules.transpose(0, 2, 1).reshape(-1, width) * 255
    seen = np.kron(np.pad(light, 4, constant_values=255), np.ones((8, 8), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(seen)[0] == text


def test_on_this_machine_one_line_is_said():
    assert link.greeting(Settings()) == "preview: http://127.0.0.1:8077/"


def test_on_this_machine_too_the_certificate_is_told():
    said = link.greeting(Settings(certificate=Path("c"), key=Path("k")), "AB:CD").splitlines()
    assert said[0] == "preview: https://127.0.0.1:8077/"
    assert "SHA-256 is AB:CD" in said[1]
    assert len(said) == 2


def test_in_the_network_it_is_said_who_can_see_the_pictures():
    open_air = Settings(host="192.168.1.4", token=TOKEN)
    assert "NOT ENCRYPTED" in link.greeting(open_air)
    assert "█" in link.greeting(open_air)
    encrypted = Settings("192.168.1.4", 8077, TOKEN, (), Path("c"), Path("k"))
    said = link.greeting(encrypted, "AB:CD")
    assert "NOT ENCRYPTED" not in said
    assert "AB:CD" in said
