"""The whole, over a real socket: it opens, refuses, is attacked, and ends."""

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path

import pytest

from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError, MissingError
from dermedge.live import Sighting
from dermedge.web import addresses, door, preview
from dermedge.web.certificate import own
from dermedge.web.preview import Preview
from dermedge.web.settings import Settings

TOKEN = "a-token-of-the-tests-only"
ANY = Settings(port=0)


@pytest.fixture
def opened(bundle: Bundle) -> Iterator[Callable[..., Preview]]:
    """Opens previews; closes them at the end."""
    each = []

    def make(**given) -> Preview:
        found = Preview(
            dataclasses.replace(ANY, **given),
            lambda: Diagnostician(bundle, 1),
            lambda: bundle.contract,
        )
        each.append(found)
        return found

    yield make
    for found in each:
        found.close()


def get(shown: Preview, path: str, **headers: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", shown.settings.port, timeout=60)
    try:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def raw(shown: Preview, data: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", shown.settings.port), timeout=60)
    found.sendall(data)
    return found


def ended(client: socket.socket) -> bool:
    """Wait until the server ends a connection; whatever it still says is read."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    client.close()
    return True


def test_what_is_shown_and_told_is_served(opened: Callable, sighting: Sighting):
    shown = opened()
    assert shown.show(sighting, "unsigned") is True
    shown.tell({"frame": 1})
    status, body = get(shown, "/api/last")
    assert status == 200
    assert json.loads(body)["judgement"]["frame"] == sighting.frame.number
    assert json.loads(body)["results"] == [{"frame": 1}]
    assert shown.show_nothing("unplugged") is True
    assert json.loads(get(shown, "/api/last")[1])["reason"] == "unplugged"


def test_a_capture_is_asked_of_the_loop_once(opened: Callable, sighting: Sighting):
    shown = opened()
    shown.show(sighting)
    client = http.client.HTTPConnection("127.0.0.1", shown.settings.port, timeout=60)
    client.request("POST", "/api/capture")
    assert client.getresponse().status == 202
    client.close()
    assert [shown.asked(), shown.asked()] == [True, False]


def test_a_port_in_use_is_an_error_of_the_user(opened: Callable):
    shown = opened()
    with pytest.raises(InputError, match="choose another port"):
        opened(port=shown.settings.port)


@pytest.mark.parametrize("host", ["192.0.2.77", "no such host"])
def test_an_address_of_another_machine_is_refused(opened: Callable, host: str):
    with pytest.raises(InputError, match="can't listen"):
        opened(host=host, token=TOKEN)


def test_settings_are_checked_before_anything_is_opened(opened: Callable):
    with pytest.raises(InputError, match="set a token"):
        opened(host="0.0.0.0")


def test_without_the_extra_it_says_what_to_install(
    opened: Callable, monkeypatch: pytest.MonkeyPatch
):
    found = util.find_spec
    monkeypatch.setattr(
        preview, "find_spec", lambda name: (name != "segno" and found(name)) or None
    )
    with pytest.raises(MissingError, match=r"segno.*dermkit\[web\]"):
        opened()


def test_closing_ends_the_streams_and_frees_the_port(opened: Callable, sighting: Sighting):
    shown = opened()
    shown.show(sighting)
    host = f"Host: 127.0.0.1:{shown.settings.port}\r\n".encode()
    watcher = raw(shown, b"GET /api/stream HTTP/1.1\r\n" + host + b"\r\n")
    idle = raw(shown)
    assert watcher.recv(100).startswith(b"HTTP/1.1 200")
    shown.close()
    assert ended(watcher)
    assert ended(idle)
    assert not any(thread.name == "dermedge-web" for thread in threading.enumerate())
    again = opened(port=shown.settings.port)
    assert get(again, "/healthz")[0] == 503


def test_over_tls_nothing_else_is_answered(opened: Callable, tmp_path: Path):
    kept = own(tmp_path)
    shown = opened(certificate=kept.certificate, key=kept.key)
    assert shown.address == f"https://127.0.0.1:{shown.settings.port}/"
    context = ssl.create_default_context(cafile=str(kept.certificate))
    client = http.client.HTTPSConnection(
        "127.0.0.1", shown.settings.port, context=context, timeout=60
    )
    client.request("GET", "/healthz")
    assert client.getresponse().status == 503
    client.close()
    plain = raw(shown, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert ended(plain)


def test_the_device_s_own_certificate_holds_for_each_address_of_it(
    opened: Callable, tmp_path: Path
):
    here = addresses.reachable()
    if not any("." in each for each in here):
        pytest.skip("this machine has no network")
    kept = own(tmp_path)
    shown = opened(host="0.0.0.0", token=TOKEN, certificate=kept.certificate, key=kept.key)
    context = ssl.create_default_context(cafile=str(kept.certificate))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for address in ("localhost", *(each for each in here if "." in each)):
        url = f"https://{address}:{shown.settings.port}/"
        with urllib.request.urlopen(url, context=context, timeout=60) as answer:
            assert answer.status == 200
    other = own(tmp_path / "other")
    strange = ssl.create_default_context(cafile=str(other.certificate))
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"https://{here[0]}:{shown.settings.port}/", context=strange)


def test_from_the_network_the_token_is_asked_for(opened: Callable):
    shown = opened(host="0.0.0.0", token=TOKEN)
    assert get(shown, "/api/last")[0] == 401
    assert get(shown, "/api/last", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert get(shown, "/", Host=f"0.0.0.0:{shown.settings.port}")[0] == 421
    assert TOKEN in shown.link
    assert TOKEN not in shown.address


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 100,
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_a_slow_head_is_not_waited_for(
    opened: Callable, monkeypatch: pytest.MonkeyPatch, data: bytes
):
    monkeypatch.setattr(door, "HEAD_S", 0.2)
    assert ended(raw(opened(), data))


def test_a_head_that_drips_is_not_waited_for(opened: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door, "HEAD_S", 0.2)
    client = raw(opened(), b"GET / HTTP/1.1\r\n")

    def drip() -> None:
        while True:
            client.sendall(b"X-Drip: drop\r\n")
            time.sleep(0.01)

    with pytest.raises(ConnectionError):
        drip()
    client.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"\0" * 200_000,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["long header", "long path", "zeros", "nonsense", "smuggling", "http2"],
)
def test_what_is_no_request_ends_the_connection(opened: Callable, data: bytes):
    client = socket.create_connection(("127.0.0.1", opened().settings.port), timeout=60)
    try:
        client.sendall(data)
    except ConnectionError:
        return
    assert ended(client)


def test_a_huge_upload_is_refused_at_its_head(opened: Callable):
    shown = opened()
    head = (
        f"POST /api/diagnose HTTP/1.1\r\nHost: 127.0.0.1:{shown.settings.port}\r\n"
        "Content-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n"
    )
    client = raw(shown, head.encode())
    assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert ended(client)


def test_a_thousand_connections_are_bounded_and_the_loop_is_still_served(
    opened: Callable, sighting: Sighting
):
    shown = opened()
    shown.show(sighting)
    crowd = []
    for _ in range(1000):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", shown.settings.port))
        crowd.append(client)
    served = shown._server._server.server_state.connections
    assert len(served) <= door.CONNECTIONS
    # What the loop does never waits for any of them.
    assert shown.show(sighting)
    assert shown.asked() is False
    for client in crowd:
        client.close()
    status = 0
    while status != 200:  # let in again as soon as the flood is over
        try:
            status = get(shown, "/healthz")[0]
        except OSError:
            time.sleep(0.05)
        shown.show(sighting)


def test_one_client_leaves_room_for_others(opened: Callable, sighting: Sighting):
    shown = opened()
    clients = [raw(shown) for _ in range(door.CONNECTIONS_EACH)]
    ends = 0
    for _ in range(5):
        try:
            ends += ended(raw(shown))
        except ConnectionResetError:  # turned away before it was connected, in its own eyes
            ends += 1
    assert ends == 5
    for client in clients:
        client.close()


def test_a_watcher_that_takes_nothing_loses_its_place(
    opened: Callable[..., Preview], sighting: Sighting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(door, "TAKE_S", 0.5)
    shown = opened(streams=1, stream_fps=200.0)
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", shown.settings.port))
        stuck.sendall(
            b"GET /api/stream HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % shown.settings.port
        )
        stuck.recv(1)  # it has the place, and takes no more
        ask = b"HEAD /api/stream HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % shown.settings.port
        for _ in range(300):
            shown.show(dataclasses.replace(sighting))  # news, so that there is a picture to send
            # One that comes too soon after others is turned away.
            with contextlib.suppress(ConnectionError), raw(shown, ask) as other:
                if b" 200 " in other.recv(64):
                    return
            time.sleep(0.1)
    pytest.fail("it kept its place")


def test_a_token_of_the_users_is_left_out_where_it_is_known(opened: Callable[..., Preview]):
    shown = opened(token=TOKEN)
    assert TOKEN in shown.greeting()
    assert TOKEN not in shown.greeting(known=True)
