"""What an attack on the preview costs the camera loop: python benchmarks/bench_web.py BUNDLE.

The loop judges a made-up camera while another process attacks, and while none does, in turns; the
figure is the share of its rate that is left. The attackers run at the lowest priority (nice 19):
they stand for other machines, and must not take this one's processor by merely being here. Two
controls show what that can't prevent, and how much the figure wavers: "none" is a process that
sleeps, "busy" one that computes and never touches the server. server_cpu is the share of one core
that the server's thread takes, which other programs on this machine change little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil

CONNECTIONS = 1000
TOKEN = "a-token-of-the-benchmark"
_IMAGE = "Content-Type: image/png\r\n"

Attack = Callable[[int], Awaitable[None]]


def head(port: int, line: str, more: str = "") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n".encode()


async def flood(port: int) -> None:
    """Connect, ask without a token as often as is answered, and come again."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                while True:
                    writer.write(head(port, "GET /api/last"))
                    if not await reader.read(65536):
                        break
        await asyncio.sleep(0.01)


async def loris(port: int) -> None:
    """Drip the head of a request that never ends."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(b"GET / HTTP/1.1\r\n")
                while not writer.is_closing():
                    writer.write(b"X-Drip: drop\r\n")
                    await writer.drain()
                    await asyncio.sleep(1)
        await asyncio.sleep(0.01)


async def upload(port: int) -> None:
    """Send huge bodies without a token."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                more = f"{_IMAGE}Content-Length: 999999999\r\n"
                writer.write(head(port, "POST /api/diagnose", more))
                while not writer.is_closing():
                    writer.write(b"x" * 65536)
                    await writer.drain()
        await asyncio.sleep(0.01)


async def nothing(port: int) -> None:
    """A process that is merely there."""
    await asyncio.Event().wait()


async def busy(port: int) -> None:
    """A process that computes, and leaves the server alone."""
    while True:
        pass


async def watch(port: int) -> None:
    """No attack: somebody who may looks at the live picture."""
    bearer = f"Authorization: Bearer {TOKEN}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(port, "GET /api/stream", bearer))
    while await reader.read(65536):
        pass


ATTACKS: dict[str, tuple[Attack, int]] = {
    "none": (nothing, 1),
    "busy": (busy, 1),
    "flood": (flood, CONNECTIONS),
    "slow-loris": (loris, CONNECTIONS),
    "huge uploads": (upload, 100),
    "one watcher": (watch, 1),
}


def attack(name: str, port: int) -> None:
    """Run until it is killed."""
    os.nice(19)
    one, count = ATTACKS[name]

    async def all_of_them() -> None:
        await asyncio.gather(*(one(port) for _ in range(count)))

    asyncio.run(all_of_them())


@contextlib.contextmanager
def attacked(name: str, port: int) -> Iterator[None]:
    command = [sys.executable, __file__, "--attack", name, "--port", str(port)]
    child = subprocess.Popen(command)
    try:
        time.sleep(2.0)
        yield
    finally:
        child.kill()
        child.wait()


class Loop:
    """The camera loop in a thread, feeding a preview."""

    def __init__(self, path: Path, threads: int) -> None:
        from dermedge.bundle import open_bundle
        from dermedge.camera import opener
        from dermedge.diagnose import Diagnostician
        from dermedge.web.preview import Preview
        from dermedge.web.settings import Settings

        bundle = open_bundle(path)
        judge = Diagnostician(bundle, threads)
        settings = Settings(port=0, token=TOKEN)
        self.preview = Preview(settings, lambda: Diagnostician(bundle, 1), lambda: bundle.contract)
        self.judged = 0
        self._stop = threading.Event()
        self._feed = opener("fake:")()
        self._thread = threading.Thread(target=self._run, args=(judge,))
        self._thread.start()

    def _run(self, judge) -> None:
        from dermedge.live import watch

        for sighting in watch(self._feed, judge, stop=self._stop):
            self.preview.show(sighting, "")
            self.judged += 1

    def rate(self, seconds: float) -> tuple[float, float]:
        """Frames judged a second, and the share of a core that the server took meanwhile."""
        begin, before, cpu = time.monotonic(), self.judged, self._server_cpu()
        time.sleep(seconds)
        took = time.monotonic() - begin
        return (self.judged - before) / took, (self._server_cpu() - cpu) / took

    def _server_cpu(self) -> float:
        (server,) = (each for each in threading.enumerate() if each.name == "dermedge-web")
        times = {each.id: each.user_time + each.system_time for each in psutil.Process().threads()}
        return times[server.native_id or 0]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.preview.close()


def measure(loop: Loop, name: str, rounds: int, seconds: float) -> dict:
    quiet, under, cpu = [], [], []
    for _ in range(rounds):
        quiet.append(loop.rate(seconds)[0])
        with attacked(name, loop.preview.settings.port):
            rate, share = loop.rate(seconds)
        under.append(rate)
        cpu.append(share)
        time.sleep(1.0)
    ratios = [b / a for a, b in zip(quiet, under, strict=True)]
    return {
        "attack": name,
        "fps_before": round(statistics.median(quiet), 2),
        "fps_under_attack": round(statistics.median(under), 2),
        "server_cpu": round(statistics.median(cpu), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1, help="of the loop's interpreter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", choices=ATTACKS)
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        return attack(given.attack, given.port)
    if given.bundle is None:
        parser.error("name a bundle")

    from dermedge.device import this_device

    print(json.dumps({"cpu": this_device().cpu, "cores": this_device().cores}))
    loop = Loop(given.bundle, given.threads)
    try:
        loop.rate(3.0)
        for name in [given.only] if given.only else ATTACKS:
            print(json.dumps(measure(loop, name, given.rounds, given.seconds)), flush=True)
    finally:
        loop.close()


if __name__ == "__main__":
    main()
