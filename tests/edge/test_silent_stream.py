"""A camera on the network that keeps its connection and sends nothing: RTSP, over a real socket."""

import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import opencv
from dermedge.bundle import open_bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import CameraError
from dermedge.live import PATIENCE_S, Listener, watch
from dermedge.opencv import Camera

SCALE = 5  # so that nobody waits for a quarter of a minute; a second passes on no busy machine
WIDTH, HEIGHT = 128, 96
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:v\r\n"
HEADERS = {
    "DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(SDP),
    "SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
}


class Stream:
    """An RTSP server that sends frames until it is told to fall silent, and lets no client go."""

    def __init__(self, mute: bool = False) -> None:
        """`mute`: not even a request is answered."""
        self.clients: list[socket.socket] = []
        self.called = threading.Event()
        self._mute = mute
        self._silent = threading.Event()  # of those who are its clients now
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Send its clients nothing more; those that come later get frames again."""
        self._silent.set()
        self._silent = threading.Event()

    def close(self) -> None:
        self.fall_silent()
        for each in (*self.clients, self._listener):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.clients.append(client)
                self.called.set()
                if not self._mute:
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError):
            requests = client.makefile("r")
            while line := requests.readline():
                method = line.split()[0]
                headers = dict(h.rstrip().split(": ", 1) for h in iter(requests.readline, "\n"))
                body = SDP if method == "DESCRIBE" else b""
                ours = HEADERS.get(method, b"Session: 1\r\n")
                head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\n".encode()
                client.sendall(head + ours + b"\r\n" + body)
                if method == "PLAY":
                    self._play(client)

    def _play(self, client: socket.socket) -> None:
        random, silent = np.random.default_rng(0), self._silent
        for number in itertools.count():
            if silent.wait(0.01):
                return
            pixels = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()
            client.sendall(packet(number, jpeg))


def packet(number: int, jpeg: bytes) -> bytes:
    """One frame as RTP/JPEG (RFC 2435), between the messages of its TCP connection (RFC 2326)."""
    tables, scan = b"", 2
    while jpeg[scan + 1] != 0xDA:
        length = int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
        if jpeg[scan + 1] == 0xDB:
            tables += jpeg[scan + 5 : scan + 2 + length]
        scan += 2 + length
    scan += 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    rtp = struct.pack(">BBHII", 0x80, 0x80 | 26, number, 3600 * number, 1)
    kind = struct.pack(">IBBBBI", 0, 1, 255, WIDTH // 8, HEIGHT // 8, len(tables))
    data = rtp + kind + tables + jpeg[scan:-2]
    return b"$\0" + struct.pack(">H", len(data)) + data


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Stream]]:
    """Those in it are closed; the time-out of a read is scaled, and nothing else."""
    *opening, reading, read_ms = opencv._TIMEOUTS
    monkeypatch.setattr(opencv, "_TIMEOUTS", (*opening, reading, read_ms // SCALE))
    found: list[Stream] = []
    yield found
    for each in found:
        each.close()


def test_all_tries_of_a_silent_camera_end_well_before_the_loop_s_patience():
    read_s = opencv._TIMEOUTS[-1] / 1000
    assert opencv.TRIES * read_s <= PATIENCE_S / 2


def test_a_stream_that_falls_silent_is_opened_again(
    tiny_bundles: tuple[Path, Path], streams: list[Stream]
):
    stream = Stream()
    streams.append(stream)
    judge, said = Diagnostician(open_bundle(tiny_bundles[0]), threads=1), []
    loop = watch(
        *(Camera(stream.address), judge),
        reopen=lambda: Camera(stream.address),
        listener=Listener(said.append),
    )
    next(loop)
    stream.fall_silent()
    assert any(sighting.frame.opening >= 2 for sighting in loop)
    loop.close()
    assert len(stream.clients) >= 2
    name = stream.address.removesuffix("/live")
    assert said[0].startswith(f"{name} stopped giving frames; ")
    assert said[-1].startswith(f"{name} is back after ")


def test_a_server_that_answers_nothing_is_no_camera(
    streams: list[Stream], monkeypatch: pytest.MonkeyPatch
):
    opening, open_ms, *reading = opencv._TIMEOUTS
    monkeypatch.setattr(opencv, "_TIMEOUTS", (opening, open_ms // SCALE, *reading))
    streams.append(Stream(mute=True))
    with pytest.raises(CameraError, match="can't be opened"):
        Camera(streams[0].address)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_signal_ends_it_while_a_camera_is_being_opened(
    tiny_bundles: tuple[Path, Path], streams: list[Stream]
):
    streams.append(Stream(mute=True))
    command = [sys.executable, "-m", "dermedge", "camera", str(tiny_bundles[0]), "--no-window"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [*command, "--source", streams[0].address],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert streams[0].called.wait(60)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=60)
    # Without a signal to end it: exit code 6, and a line that it can't be opened.
    assert process.returncode == 0, complaints
    assert complaints.splitlines() == ["kit: stopped before the camera was open"]
