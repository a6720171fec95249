"""Ask LiteRT.js, the TFLite runtime of browsers, to open or run files in a headless Chromium.

It comes from npm, into a folder of its own: `npm install --ignore-scripts @litertjs/core@2.5.3`.
A page served on loopback loads it as an app would, on its CPU side (WebAssembly, one thread).
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.errors import KitError, MissingError

PACKAGE = "@litertjs/core"
_PATIENCE_S = 300  # for the browser to start, and for each answer
_PAGE = Path(__file__).with_name("probe_browser.html")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions")
_ALONE = (
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What became of a file.

    Attributes:
        refusal: Why it can't be opened or run, in the runtime's words; empty if it could.
        outputs: float32, of the model's shapes, by the names in its signature; empty if not run.
    """

    refusal: str
    outputs: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Talk:
    """What goes to the page (empty: no more), and what comes back."""

    questions: Queue[bytes]
    answers: Queue[dict[str, Any]]


class Chromium:
    """A page with LiteRT.js on it, which answers one question after another; use with `opened`."""

    def __init__(self, browser: subprocess.Popen[bytes], talk: _Talk) -> None:
        """Wait until the runtime is loaded.

        Raises:
            KitError: It can't be, or the browser ended.
        """
        self._browser, self._talk = browser, talk
        if failure := self._hear()["failure"]:
            raise KitError(f"Chromium can't load LiteRT.js: {failure}")

    def ask(self, model: bytes, value: npt.NDArray[Any] | None = None) -> Answer:
        """Have a file opened and, if there is a value for its one input, run once.

        Raises:
            KitError: The browser ended or does not answer.
        """
        question = {"model": base64.b64encode(model).decode()}
        if value is not None:
            text = base64.b64encode(value.tobytes()).decode()
            question |= {"value": text, "dtype": value.dtype.name}
        self._talk.questions.put(json.dumps(question).encode())
        said = self._hear()
        if said.get("failure"):
            raise KitError(f"the page has failed: {said['failure']}")
        outputs = {
            output["name"]: np.array(output["values"], np.float32).reshape(output["shape"])
            for output in said["outputs"]
        }
        return Answer(said["refusal"], outputs)

    def _hear(self) -> dict[str, Any]:
        for _ in range(_PATIENCE_S):
            try:
                return self._talk.answers.get(timeout=1)
            except Empty:
                if self._browser.poll() is not None:
                    raise KitError(f"Chromium ended: {self._browser.returncode}") from None
        raise KitError(f"Chromium gave no answer in {_PATIENCE_S} s")


def name(folder: Path) -> str:
    """Name and version of the runtime that npm has put in a folder: "LiteRT.js 2.5.3 (wasm)".

    Raises:
        MissingError: There is none.
    """
    place = folder / "node_modules" / PACKAGE / "package.json"
    if not place.is_file():
        raise MissingError(f"no LiteRT.js in {folder}; run there: npm install {PACKAGE}")
    return f"LiteRT.js {json.loads(place.read_text(encoding='utf-8'))['version']} (wasm)"


@contextmanager
def opened(folder: Path) -> Iterator[Chromium]:
    """A Chromium with the LiteRT.js that npm has put in a folder.

    Raises:
        MissingError: No Chromium is installed.
        KitError: LiteRT.js can't be loaded.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise MissingError("no chromium on this machine; install it with the system's packages")
    talk = _Talk(Queue(), Queue())
    # The profile: helpers of the browser may still write there while it ends.
    with (
        _served(folder, talk) as address,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        command = [chromium, *_FLAGS, *_ALONE, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Chromium(browser, talk)
        finally:
            browser.terminate()
            browser.wait()


@contextmanager
def _served(folder: Path, talk: _Talk) -> Iterator[str]:
    """The page and the packages on loopback."""
    root = folder / "node_modules" / Path(PACKAGE).parent
    handler = partial(_Handler, talk, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            talk.questions.put(b"")
            server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    """Serves the page, and the packages beneath `directory`; passes questions and answers on."""

    # By name, since what a system's own table says of these two differs.
    extensions_map = {".js": "text/javascript", ".wasm": "application/wasm"}  # noqa: RUF012

    def __init__(self, talk: _Talk, *args: Any, **kwargs: Any) -> None:
        self._talk = talk
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        """Answer with the page or a file of the packages."""
        if self.path == "/":
            self._give("text/html", _PAGE.read_bytes())
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Take an answer, give the next question."""
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self._talk.answers.put(json.loads(said))
        question = self._talk.questions.get()
        if question:
            self._give("application/json", question)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _give(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
