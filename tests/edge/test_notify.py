import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from dermedge.image import RGB
from dermedge.notify import VARIABLE, Notifier


def received(channel: socket.socket) -> list[str]:
    channel.setblocking(False)
    found = []
    while True:
        try:
            found.append(channel.recv(100).decode())
        except BlockingIOError:
            return found


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_ready_then_watchdog_then_stopping(abstract: bool, tmp_path: Path) -> None:
    address = f"@dermedge{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address[1:]}" if abstract else address)
        with Notifier(address, every_s=0.0) as notifier:
            assert received(systemd) == []
            notifier.beat()
            notifier.beat()
        assert received(systemd) == ["READY=1\nWATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_systemd_is_not_woken_for_every_frame(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"), every_s=60.0)
        for _ in range(100):
            notifier.beat()
        assert len(received(systemd)) == 1


def test_a_systemd_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"), every_s=0.0)
        for _ in range(10_000):  # far more than the socket holds
            notifier.beat()


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all"])
def test_without_systemd_nothing_happens(address: str | None) -> None:
    with Notifier(address) as notifier:
        notifier.beat()


def test_a_camera_under_systemd_is_ready_with_its_first_judgement(
    tiny_bundles: tuple[Path, Path], photo: RGB, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify")
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        command = [sys.executable, "-m", "dermedge", "camera", tiny_bundles[1], "--no-window"]
        done = subprocess.run(
            [*command, "--source", tmp_path],
            env={**os.environ, VARIABLE: address},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert received(systemd) == ["READY=1\nWATCHDOG=1", "STOPPING=1"]
