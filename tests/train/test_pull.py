"""Pulling from the ISIC archive, against a stand-in server on this machine that misbehaves."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import cv2
import numpy as np
import pytest

from dermedge import __version__, table
from dermedge.errors import MissingError, StorageError
from dermtrain import pull as pulling
from dermtrain.archive import Query
from dermtrain.importing import Wish, gather, write
from dermtrain.pull import pull

if os.environ.get("CI") != "true":
    pytest.importorskip("isic_cli", reason="needs the isic extra")

_PAGE = 3


@dataclass
class StandIn:
    """What the server has, how it misbehaves, and what it was asked."""

    entries: list[dict[str, Any]]
    files: dict[str, bytes]
    base: str = ""
    # Path -> answers to give first, each a status, or bytes to cut the body to.
    faults: dict[str, list[Any]] = field(default_factory=dict)
    retry_after: str = ""
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    slow: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def times(self, path: str) -> list[float]:
        return [when for when, asked, _ in self.asked if asked.startswith(path)]

    def downloads(self) -> Counter[str]:
        return Counter(path for _, path, _ in self.asked if path.startswith("/files/"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        stand: StandIn = self.server.stand  # type: ignore[attr-defined]
        path, query = urlparse(self.path).path, parse_qs(urlparse(self.path).query)
        with stand.lock:
            stand.asked.append((time.monotonic(), self.path, self.headers["User-Agent"]))
            stand.at_once += 1
            stand.most_at_once = max(stand.most_at_once, stand.at_once)
            fault = stand.faults[path].pop(0) if stand.faults.get(path) else None
        time.sleep(stand.slow)
        try:
            self._answer(stand, path, query, fault)
        finally:
            with stand.lock:
                stand.at_once -= 1

    def _answer(self, stand: StandIn, path: str, query: dict, fault: Any) -> None:
        if isinstance(fault, int) and fault >= 400:
            self.send_response(fault)
            if stand.retry_after:
                self.send_header("Retry-After", stand.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.startswith("/files/") and path.removeprefix("/files/") not in stand.files:
            self.send_error(404)
        elif path.startswith("/files/"):
            body = stand.files[path.removeprefix("/files/")]
            self._send(body if not isinstance(fault, bytes) else fault, len(body), "image/jpeg")
        elif path == "/api/v2/images/search/size/":
            self._json({"size": sum(len(data) for data in stand.files.values())})
        elif path == "/api/v2/images/search/":
            self._json(self._page(stand, query))
        else:
            self._json({"detail": "Not Found"})

    def _page(self, stand: StandIn, query: dict) -> dict:
        start = int(query.get("cursor", ["0"])[0])
        chosen = query.get("collections", [""])[0]
        more = f"{stand.base}images/search/?collections={chosen}&cursor={start + _PAGE}"
        return {
            "count": len(stand.entries),
            "next": more if start + _PAGE < len(stand.entries) else None,
            "results": stand.entries[start : start + _PAGE],
        }

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self._send(body, len(body), "application/json")

    def _send(self, body: bytes, length: int, kind: str) -> None:
        """Send a body under a length that it may not have: the line is cut then."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = len(body) < length

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _entry(base: str, number: int, data: bytes, **changes: Any) -> dict[str, Any]:
    name = f"ISIC_{number:07d}"
    malignant = number % 2
    return {
        "isic_id": name,
        "public": True,
        "copyright_license": "CC-BY" if malignant else "CC-0",
        "attribution": "Clinic, of the\nNorth",
        "files": {
            "full": {"url": f"{base.replace('api/v2/', '')}files/{name}.jpg?t=1", "size": len(data)}
        },
        "metadata": {
            "acquisition": {"pixels_x": 24, "pixels_y": 16, "image_type": "dermoscopic"},
            "clinical": {
                "diagnosis_1": "Malignant" if malignant else "Benign",
                "diagnosis_3": "Melanoma, NOS" if malignant else "Nevus",
                "age_approx": 50,
                "sex": "female",
                "patient_id": f"IP_{number // 2}",
            },
        },
        **changes,
    }


@pytest.fixture
def stand() -> Iterator[StandIn]:
    """A server of eight photographs, three on a page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    base = f"http://127.0.0.1:{server.server_port}/api/v2/"
    random = np.random.default_rng(0)
    files = {}
    for number in range(8):
        ok, data = cv2.imencode(".jpg", random.integers(0, 256, (16, 24, 3), np.uint8))
        assert ok
        files[f"ISIC_{number:07d}.jpg"] = data.tobytes()
    entries = [_entry(base, number, data) for number, data in enumerate(files.values())]
    found = StandIn(entries, files, base)
    server.stand = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _query(stand: StandIn, **changes: Any) -> Query:
    return Query((65,), stand.base, **{"patience": 0.01, **changes})


def _bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "images").iterdir()}


def test_every_page_comes_with_metadata_and_becomes_the_kits_own_table(
    stand: StandIn, tmp_path: Path
) -> None:
    held = pull(_query(stand), tmp_path)
    assert _bytes(tmp_path) == stand.files
    assert all(one.fetched for one in held)
    assert {one.photograph.file: one.sha256 for one in held} == {
        name: hashlib.sha256(data).hexdigest() for name, data in stand.files.items()
    }
    assert len(stand.times("/api/v2/images/search/?")) == 3 + 1  # three pages and the count
    assert all("collections=65" in path for _, path, _ in stand.asked if "/search/" in path)
    write(gather([tmp_path / "metadata.csv"], tmp_path, Wish(), "isic-archive"), tmp_path)
    rows = table.read(tmp_path).rows
    assert [row.image for row in rows] == [f"images/{name}" for name in stand.files]
    assert [row.label for row in rows] == ["benign", "malignant"] * 4
    assert [row.licence for row in rows[:2]] == ["CC0-1.0", "CC-BY-4.0"]
    assert [row.patient_id for row in rows[:3]] == ["IP_0", "IP_0", "IP_1"]
    assert rows[0].attributes["age"] == "50"
    assert rows[0].attributes["kind"] == "dermoscopic"


def test_nothing_is_fetched_twice(stand: StandIn, tmp_path: Path) -> None:
    pull(_query(stand), tmp_path)
    assert set(stand.downloads().values()) == {1}
    again = pull(_query(stand), tmp_path)
    assert set(stand.downloads().values()) == {1}
    assert not any(one.fetched for one in again)
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 8


@pytest.mark.parametrize("fault", ["changed", "shorter", "gone", "never noted", "torn note"])
def test_a_file_that_is_not_what_the_manifest_says_is_fetched_anew(
    fault: str, stand: StandIn, tmp_path: Path
) -> None:
    pull(_query(stand), tmp_path)
    name, manifest = "ISIC_0000007.jpg", tmp_path / "manifest.jsonl"
    path = tmp_path / "images" / name
    if fault == "changed":  # of the same length
        path.write_bytes(bytes(len(stand.files[name])))
    elif fault == "shorter":
        path.write_bytes(stand.files[name][:-5])
    elif fault == "gone":
        path.unlink()
    elif fault == "never noted":
        manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    else:
        manifest.write_text(manifest.read_text()[:-30])
    held = pull(_query(stand), tmp_path)
    assert [one.photograph.file for one in held if one.fetched] == [name]
    assert _bytes(tmp_path) == stand.files
    assert not any(one.fetched for one in pull(_query(stand), tmp_path))


def test_a_photograph_that_changed_in_the_archive_is_fetched_anew(
    stand: StandIn, tmp_path: Path
) -> None:
    pull(_query(stand), tmp_path)
    name = "ISIC_0000003.jpg"
    stand.files[name] += b"more"
    stand.entries[3]["files"]["full"]["size"] += 4
    held = pull(_query(stand), tmp_path)
    assert [one.photograph.file for one in held if one.fetched] == [name]
    assert _bytes(tmp_path) == stand.files


def test_cut_lines_and_failing_servers_are_tried_again(stand: StandIn, tmp_path: Path) -> None:
    stand.faults = {
        "/files/ISIC_0000001.jpg": [b"half", b""],
        "/files/ISIC_0000002.jpg": [500, 503, 502],
        "/api/v2/images/search/": [500, 429],
    }
    pull(_query(stand), tmp_path)
    assert _bytes(tmp_path) == stand.files


def test_photographs_that_do_not_come_are_named_and_the_others_stay(
    stand: StandIn, tmp_path: Path
) -> None:
    stand.faults = {
        "/files/ISIC_0000001.jpg": [b"half"] * 20,
        "/files/ISIC_0000002.jpg": [404] * 20,
    }
    match = r"2 of 8 photographs could not be fetched: ISIC_0000001 \(.*ISIC_0000002 \(404.*again"
    with pytest.raises(MissingError, match=match):
        pull(_query(stand), tmp_path)
    assert len(_bytes(tmp_path)) == 6
    assert stand.downloads()["/files/ISIC_0000002.jpg?t=1"] == 1  # a refusal is an answer
    assert not (tmp_path / "metadata.csv").exists()
    stand.faults = {}
    held = pull(_query(stand), tmp_path)
    assert sum(one.fetched for one in held) == 2
    assert _bytes(tmp_path) == stand.files


def test_answers_of_another_length_than_announced_never_become_files(
    stand: StandIn, tmp_path: Path
) -> None:
    stand.entries[0]["files"]["full"]["size"] += 7
    stand.entries[1]["files"]["full"]["size"] -= 7
    match = r"ISIC_0000000 \(\d+ of \d+ bytes came\), ISIC_0000001 \(longer than"
    with pytest.raises(MissingError, match=match):
        pull(_query(stand), tmp_path)
    assert set(_bytes(tmp_path)) == {f"ISIC_000000{i}.jpg" for i in range(2, 8)}


def test_an_archive_that_fails_at_everything_is_soon_left_alone(
    stand: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_PATIENCE", 2)
    stand.faults = {f"/files/{name}": [404] * 9 for name in stand.files}
    with pytest.raises(MissingError, match="2 of 2 photographs could not be fetched"):
        pull(_query(stand), tmp_path, connections=1)


def test_it_waits_as_long_as_the_archive_asks_says_who_it_is_and_knocks_softly(
    stand: StandIn, tmp_path: Path
) -> None:
    stand.retry_after = "1"
    stand.slow = 0.03
    path = "/files/ISIC_0000004.jpg"
    stand.faults = {path: [429]}
    pull(_query(stand), tmp_path, connections=2)
    first, second = stand.times(path)
    assert second - first >= 1.0
    assert {agent.split()[0] for _, _, agent in stand.asked} == {f"dermkit/{__version__}"}
    assert stand.most_at_once <= 2 + 1  # two downloads, and the list's next page


def test_a_limit_asks_for_no_more_pages_than_it_needs(stand: StandIn, tmp_path: Path) -> None:
    assert len(pull(_query(stand, limit=2), tmp_path)) == 2
    assert len(_bytes(tmp_path)) == 2
    assert len(stand.times("/api/v2/images/search/?")) == 1 + 1


@pytest.mark.parametrize(
    "name", ["../../ISIC_0000009", "/etc/ISIC_0000009", "ISIC_1", "ISIC_0000001\n", "", None, 5]
)
def test_names_that_the_archive_would_not_give_are_refused(
    name: object, stand: StandIn, tmp_path: Path
) -> None:
    stand.entries[0]["isic_id"] = name
    with pytest.raises(MissingError, match="is no name of the ISIC archive"):
        pull(_query(stand), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert not list((tmp_path / "out" / "images").iterdir())


@pytest.mark.parametrize("ending", [".jpg/../x.exe", ".php", "", "/..%2F..%2Fx.png"])
def test_the_address_of_a_file_does_not_lead_it_astray(
    ending: str, stand: StandIn, tmp_path: Path
) -> None:
    host = stand.base.replace("api/v2/", "")
    stand.entries[0]["files"]["full"]["url"] = f"{host}files/ISIC_0000000{ending}"
    data = stand.files["ISIC_0000000.jpg"]
    # The client takes `..` out of the address before it asks.
    stand.files |= {f"ISIC_0000000{ending}": data, "x.exe": data}
    pull(_query(stand, limit=1), tmp_path / "out")
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    (photograph,) = names - {"out", "out/images", "out/manifest.jsonl", "out/metadata.csv"}
    assert photograph in ("out/images/ISIC_0000000.jpg", "out/images/ISIC_0000000.png")


def test_addresses_that_are_not_of_the_web_are_not_opened(stand: StandIn, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    stand.entries[0]["files"]["full"] = {"url": secret.as_uri(), "size": 6}
    with pytest.raises(MissingError, match=r"ISIC_0000000 \(.*adapters"):
        pull(_query(stand), tmp_path / "out")
    assert "ISIC_0000000.jpg" not in _bytes(tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {}},
        {"files": {"full": {"url": "x", "size": "much"}}},
        {"files": None},
        {"metadata": None},
        {"metadata": {"acquisition": {}}},
        {"metadata": {"clinical": 5}},
    ],
    ids=str,
)
def test_lists_that_the_archive_would_not_write_are_refused(
    changes: dict[str, Any], stand: StandIn, tmp_path: Path
) -> None:
    stand.entries[0] |= changes
    with pytest.raises(MissingError, match="not as the ISIC archive writes it"):
        pull(_query(stand), tmp_path)


def test_no_archive_there_is_said_in_one_line(stand: StandIn, tmp_path: Path) -> None:
    nowhere = Query((1,), "http://127.0.0.1:9/api/v2/", patience=0.01)
    with pytest.raises(MissingError, match="does not answer as expected"):
        pull(nowhere, tmp_path)
    stand.entries.clear()
    with pytest.raises(MissingError, match="no public photographs in collection 65"):
        pull(_query(stand), tmp_path)
    with pytest.raises(MissingError, match="does not answer"):
        pull(Query((65,), stand.base + "elsewhere/", patience=0.01), tmp_path)


def test_a_disk_that_is_too_small_is_noticed_before_the_first_photograph(
    stand: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match="still to come"):
        pull(_query(stand), tmp_path)
    assert not stand.downloads()


def test_the_command_killed_at_any_moment_goes_on_where_it_was(
    stand: StandIn, tmp_path: Path
) -> None:
    stand.slow = 0.15
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dermedge", "data", "pull", "isic", "--collection", "65"]
    command += ["--out", str(out), "--base", stand.base, "--connections", "1", "--patience", "0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(stand.downloads()) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stand.downloads()
    assert 4 <= len(before) < 8
    (out / "images" / ".ISIC_0000006.99.tmp.jpg").write_bytes(b"left by the kill")
    stand.slow = 0.0
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 photographs in" in done.stdout
    assert "(benign 4, malignant 4)" in done.stdout
    assert _bytes(out) == stand.files
    # At most the one under way, and one that was not noted yet, came twice.
    assert sum(stand.downloads().values()) <= 8 + 2
    assert table.read(out).licences == "CC-BY-4.0, CC0-1.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dermnet", "--collection", "1"], "known: isic"),
        (["isic"], "give collections with --collection, or --all"),
        (["isic", "--all", "--collection", "1"], "or --all for the whole"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "dermedge", "data", "pull", *arguments, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr
