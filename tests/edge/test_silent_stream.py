"""A camera on the network that keeps its connection and sends nothing: RTSP, over a real socket."""

import socket
import struct
import threading
import time
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

SCALE = 10  # of all times, so that nobody waits for half a minute
WIDTH, HEIGHT = 128, 96
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:v\r\n"
HEADERS = {
    "DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(SDP),
    "SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
}


class Stream:
    """An RTSP server whose every client gets so many frames, then nothing, and is not let go."""

    def __init__(self, frames: int, mute: bool = False) -> None:
        """`mute`: not even a request is answered."""
        self.clients: list[socket.socket] = []
        self._frames, self._mute = frames, mute
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (*self.clients, self._listener):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.clients.append(client)
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
        random = np.random.default_rng(0)
        for number in range(self._frames):
            pixels = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()
            client.sendall(packet(number, jpeg))
            time.sleep(0.01)


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
    """Those in it are closed; every time-out is scaled, and nothing else."""
    opening, open_ms, reading, read_ms = opencv._TIMEOUTS
    scaled = (opening, open_ms // SCALE, reading, read_ms // SCALE)
    monkeypatch.setattr(opencv, "_TIMEOUTS", scaled)
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
    stream = Stream(frames=60)
    streams.append(stream)
    judge, said = Diagnostician(open_bundle(tiny_bundles[0]), threads=1), []
    for sighting in watch(
        *(Camera(stream.address), judge),
        patience_s=PATIENCE_S / SCALE,
        reopen=lambda: Camera(stream.address),
        listener=Listener(said.append),
    ):
        if sighting.frame.opening == 2:
            break
    assert len(stream.clients) >= 2
    name = stream.address.removesuffix("/live")
    assert said[0].startswith(f"{name} stopped giving frames; ")
    assert said[-1].startswith(f"{name} is back after ")


def test_a_server_that_answers_nothing_is_no_camera(streams: list[Stream]):
    streams.append(Stream(frames=0, mute=True))
    with pytest.raises(CameraError, match="can't be opened"):
        Camera(streams[0].address)
