"""Who is let through: no token, a wrong one, another host, another site, odd paths, too many."""

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dermedge.live import Sighting
from dermedge.web import guard
from dermedge.web.bucket import Buckets

TOKEN = "a-token-of-the-tests-only"
PRIVATE = [
    ("GET", "/api/last"),
    ("GET", "/api/stream"),
    ("POST", "/api/capture"),
    ("POST", "/api/focus"),
    ("POST", "/api/diagnose"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]
PUBLIC = ["/", "/app.js", "/style.css", "/icon.svg", "/api/openapi.json"]
EVERY = [*PRIVATE, *(("GET", path) for path in PUBLIC), ("POST", "/api/session")]


@pytest.mark.parametrize(("method", "path"), [*PRIVATE, ("GET", "/nowhere")])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer wrong-token-of-the-tests",
        "Bearer",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer \xff",
    ],
)
def test_without_the_token_nothing_of_the_camera_is_told(
    site: Callable, method: str, path: str, header: str | None
):
    client = site(token=TOKEN).client()
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    # The token has no business in an address: there it stands in logs.
    found = client.request(method, path, headers=headers, params={"token": TOKEN})
    assert found.status_code == 401
    assert found.json()["status"] == 401
    assert found.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in found.text


@pytest.mark.parametrize("path", PUBLIC)
def test_the_empty_page_is_for_everybody(site: Callable, path: str):
    found = site(token=TOKEN).client().get(path)
    assert found.status_code == 200
    assert TOKEN not in found.text


def test_the_token_opens(site: Callable, sighting: Sighting):
    place = site(token=TOKEN)
    client = place.client(TOKEN)
    assert client.get("/api/last").status_code == 200
    assert client.get("/metrics").status_code == 200


def test_a_browser_shows_the_token_once_and_then_its_cookie(site: Callable):
    client = site(token=TOKEN).client()
    found = client.post("/api/session", json={"token": TOKEN})
    assert found.status_code == 204
    cookie = found.headers["set-cookie"].lower()
    for word in ("httponly", "samesite=strict", "path=/", "max-age="):
        assert word in cookie
    assert TOKEN not in cookie
    assert client.get("/api/last").status_code == 200
    client.cookies.clear()
    assert client.get("/api/last").status_code == 401


def test_over_tls_the_cookie_is_for_this_host_and_tls_alone(site: Callable, tmp_path):
    place = site(token=TOKEN, certificate=tmp_path / "a", key=tmp_path / "b")
    cookie = place.client().post("/api/session", json={"token": TOKEN}).headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "secure" in cookie.lower()


@pytest.mark.parametrize("token", ["", "wrong-token-of-the-tests", TOKEN + " "])
def test_a_wrong_token_gives_no_cookie(site: Callable, token: str):
    found = site(token=TOKEN).client().post("/api/session", json={"token": token})
    assert found.status_code == 401
    assert "set-cookie" not in found.headers


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"token": 1}', b"[" * 900, b"\xff"])
def test_what_is_no_token_is_not_understood(site: Callable, body: bytes):
    client = site(token=TOKEN).client()
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/session", content=body, headers=headers).status_code == 400


def test_a_form_of_another_site_is_no_session(site: Callable):
    client = site(token=TOKEN).client()
    assert client.post("/api/session", data={"token": TOKEN}).status_code == 415


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8077",
        "127.0.0.1",  # without the port: that is another server
        "127.0.0.1:80",
        "localhost:8078",
        "127.0.0.1:8077.evil.example",
        "localhost.evil.example:8077",
        "10.0.0.1:8077",
        "",
    ],
)
def test_under_another_name_nothing_is_answered(site: Callable, method: str, path: str, host: str):
    place = site()
    assert place.client().request(method, path, headers={"Host": host}).status_code == 421
    assert place.refused == {"host": 1}


@pytest.mark.parametrize("host", ["127.0.0.1:8077", "localhost:8077", "LOCALHOST:8077"])
def test_this_machine_s_own_names_are_answered(site: Callable, host: str):
    assert site().client().get("/", headers={"Host": host}).status_code == 200


def test_further_names_are_answered(site: Callable):
    client = site(names=("camera.example", "localhost:9000")).client()
    for host in ("camera.example:8077", "localhost:9000"):
        assert client.get("/", headers={"Host": host}).status_code == 200
    assert client.get("/", headers={"Host": "localhost:9001"}).status_code == 421


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8078"},
        {"Origin": "https://127.0.0.1:8077"},
        {"Origin": "http://localhost:8077"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_another_site_gets_nothing(site: Callable, method: str, path: str, headers: dict[str, str]):
    place = site()
    assert place.client().request(method, path, headers=headers).status_code == 403
    assert place.newest.asked() is False


def test_the_page_itself_asks_and_a_link_may_lead_to_it(site: Callable):
    client = site().client()
    own = {"Origin": "http://127.0.0.1:8077", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/last", headers=own).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/api/last", headers=link).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/../settings.py",
        "/static/app.js",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/app.js",
        "//app.js",
        "/app.js/",
        "/app.js%00",
        "/api/../app.js/x",
        "/\\..\\app.js",
        "/file:/etc/passwd",
        "/api/last/",
        "/API/LAST",
    ],
)
def test_a_tricky_path_leads_nowhere(site: Callable, ask: Callable, path: str):
    app = site(token=TOKEN).app
    for token, expected in (("", 401), (TOKEN, 404)):
        status, body = ask(app, path, token)
        assert status == expected
        assert json.loads(body)["status"] == expected


@given(st.text(max_size=40))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_but_the_public_ones_is_open(site: Callable, ask: Callable, text: str):
    assert ask(site(token=TOKEN).app, f"/x{text}")[0] == 401


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_every_answer_carries_the_security_headers(site: Callable, method: str, path: str):
    method = "HEAD" if path == "/api/stream" else method  # it has no end
    for token in ("", TOKEN):
        found = site(token=TOKEN).client(token).request(method, path, headers={"Range": "bytes=0-"})
        assert {name: found.headers.get(name) for name in guard.HEADERS} == guard.HEADERS
        assert "server" not in found.headers


def test_too_many_requests_are_refused_until_time_has_passed(site: Callable, monkeypatch):
    now, place = [0.0], site()
    monkeypatch.setattr(place.app, "_rates", Buckets(5.0, 20.0, lambda: now[0]))
    client = place.client()
    said = [client.get("/").status_code for _ in range(30)]
    assert said == [200] * 20 + [429] * 10
    assert place.refused == {"rate": 10}
    now[0] += 1.0
    assert [client.get("/").status_code for _ in range(6)] == [200] * 5 + [429]


def test_guessing_tokens_soon_ends(site: Callable):
    client = site(token=TOKEN, requests_per_s=0.001).client()
    said = [
        client.post("/api/session", json={"token": f"guess-{n:020}"}).status_code for n in range(9)
    ]
    assert said[0] == 401
    assert said[3:] == [429] * 6


def test_a_refusal_ends_its_connection(site: Callable):
    found = site(token=TOKEN).client().get("/api/last")
    assert found.headers["connection"] == "close"
