"""The whole, over a real socket: it opens, refuses, is attacked, and ends."""

import contextlib
import dataclasses
import hashlib
import http.client
import itertools
import json
import re
import socket
import ssl
import sys
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
from dermedge.web import addresses, door, preview, server, stream
from dermedge.web.certificate import own
from dermedge.web.preview import Preview
from dermedge.web.settings import Settings

TOKEN = "a-token-of-the-tests-only"
ANY = Settings(port=0)
TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


@pytest.fixture
def opened(bundle: Bundle) -> Iterator[Callable[..., Preview]]:
    """Opens previews; closes them at the end."""
    each = []

    def make(renew: Callable[[], None] | None = None, **given) -> Preview:
        found = Preview(
            dataclasses.replace(ANY, **given),
            lambda: Diagnostician(bundle, 1),
            lambda: bundle.contract,
            renew=renew,
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


def last_words(client: socket.socket) -> bytes:
    """What the server still says until it ends the connection, which is waited for."""
    said = b""
    with client, contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            said += data
    return said


def ended(client: socket.socket) -> bool:
    """Wait until the server ends a connection; whatever it still says is read."""
    last_words(client)
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


@pytest.mark.parametrize("host", ["192.0.2.77", "no such host", "0.0.0..0", "pi..local", "a" * 64])
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
    host = f"Host: 127.0.0.1:{shown.settings.port}\r\n".encode()
    said = last_words(raw(shown, b"GET / HTTP/1.1\r\n" + host + b"\r\n"))
    assert said == b"" or said[0] == 0x15  # a TLS record that holds an alert
    assert len(said) < 16


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


@pytest.fixture
def crowded() -> Iterator[int]:
    """How many connections to open, for which this process may open files: 1,000 if it can."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Both ends of those that are let in are here, and what else the tests have open.
    rest = 2 * door.CONNECTIONS + 300
    wanted = 1000 + rest
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if most - rest < 2 * door.CONNECTIONS:
        pytest.skip(f"no crowd: this process may open {hard} files")
    raised = soft != resource.RLIM_INFINITY and soft < most
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    yield most - rest
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_connections_are_bounded_and_the_loop_is_still_served(
    opened: Callable, sighting: Sighting, crowded: int
):
    shown = opened()
    shown.show(sighting)
    crowd = []
    for _ in range(crowded):
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
    for _ in range(600):  # let in again as soon as the flood is over
        shown.show(sighting)
        with contextlib.suppress(OSError, http.client.HTTPException):
            if get(shown, "/healthz")[0] == 200:
                return
        time.sleep(0.05)
    pytest.fail("nobody is let in again")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_one_client_leaves_room_for_others(
    opened: Callable, sighting: Sighting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(door, "HEAD_S", 600.0)  # nothing but its number ends a connection
    shown = opened()
    shown.show(sighting)
    with contextlib.ExitStack() as stack:
        for _ in range(door.CONNECTIONS_EACH):
            stack.enter_context(raw(shown))
        for _ in range(5):
            # One may be turned away before it is connected, in its own eyes.
            with contextlib.suppress(ConnectionResetError):
                assert ended(raw(shown))
        there = ("127.0.0.1", shown.settings.port)
        other = http.client.HTTPConnection(*there, timeout=60, source_address=("127.0.0.2", 0))
        other.request("GET", "/metrics")
        answer = other.getresponse()
        assert answer.status == 200
        assert b'dermkit_web_refused_total{reason="connection"} 5.0\n' in answer.read()
        other.close()


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


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such bound"
)
def test_a_slow_watcher_gets_few_pictures_that_are_old(
    opened: Callable[..., Preview],
    sighting: Sighting,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encrypted: bool,
):
    drawn = itertools.count(1)
    monkeypatch.setattr(stream, "jpeg", lambda *given: b"<%08d>" % next(drawn) + b"\xff" * 30_000)
    kept = own(tmp_path)
    pair = {"certificate": kept.certificate, "key": kept.key} if encrypted else {}
    shown = opened(stream_fps=200.0, **pair)
    shown.show(sighting)
    client: socket.socket = socket.socket()
    client.settimeout(60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", shown.settings.port))
    if encrypted:
        context = ssl.create_default_context(cafile=str(kept.certificate))
        client = context.wrap_socket(client, server_hostname="localhost")
    with client:
        host = f"Host: localhost:{shown.settings.port}\r\n".encode()
        client.sendall(b"GET /api/stream HTTP/1.1\r\n" + host + b"\r\n")
        client.recv(1)
        for _ in range(200):  # meanwhile it takes nothing
            shown.show(dataclasses.replace(sighting))
            time.sleep(0.01)
        before, seen = next(drawn), 0
        said, old = b"", set()
        while seen <= before:
            shown.show(dataclasses.replace(sighting))
            data = client.recv(65536)
            assert data, "the server has ended it"
            said = said[-20:] + data
            for number in re.findall(rb"<(\d{8})>", said):
                seen = int(number)
                old |= {seen} if seen < before else set()
    # What is on its way, and with TLS what asyncio holds besides; without bounds it is about 100.
    assert len(old) <= (6 if encrypted else 3)


def test_a_certificate_that_is_replaced_serves_those_who_come_then(
    opened: Callable[..., Preview], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "_TLS_S", 0.05)
    kept = own(tmp_path)
    shown = opened(certificate=kept.certificate, key=kept.key)

    def served() -> str:
        with raw(shown) as plain, TRUSTING.wrap_socket(plain) as client:
            der = client.getpeercert(binary_form=True)
        return hashlib.sha256(der or b"").hexdigest()

    assert served() == kept.fingerprint.replace(":", "").lower()
    key = kept.key.read_bytes()
    kept.key.write_bytes(b"half written")
    time.sleep(0.5)
    assert served() == kept.fingerprint.replace(":", "").lower()
    kept.key.write_bytes(key)
    kept.certificate.unlink()
    anew = own(tmp_path).fingerprint.replace(":", "").lower()
    for _ in range(100):
        if served() == anew:
            return
        time.sleep(0.3)  # no more than so many connections are let in
    pytest.fail("the old one is still served")


def test_the_certificate_is_renewed_while_it_serves(
    opened: Callable[..., Preview], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "_TLS_S", 0.05)
    kept, called = own(tmp_path), threading.Event()
    opened(renew=called.set, certificate=kept.certificate, key=kept.key)
    assert called.wait(60)


def test_a_token_of_the_users_is_left_out_where_it_is_known(opened: Callable[..., Preview]):
    shown = opened(token=TOKEN)
    assert TOKEN in shown.greeting()
    assert TOKEN not in shown.greeting(known=True)
