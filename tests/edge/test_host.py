import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from dermedge import host
from dermedge.device import this_device

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)


def test_little_free_memory_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 102400 kB\n")
    assert host.available(tmp_path) == 100
    found = host.check_memory(977, host.available(tmp_path))
    assert found.fault
    assert "100 MiB of it free" in found.says
    assert "ps -eo" in found.mend
    assert not host.check_memory(977, 500).fault
    assert host.available(tmp_path / "nowhere") is None
    assert not host.check_memory(None, None).fault


def test_a_disk_that_can_only_be_read_is_a_fault_however_empty() -> None:
    found = host.check_disk(Path("/srv"), 10 * 2**30, read_only=True)
    assert found.fault
    assert "remount,rw" in found.mend


@pytest.mark.parametrize(
    ("year", "known", "fault", "words"),
    [
        (2026, True, False, "synchronised"),
        (2026, None, False, "2026-11-26 09:30 UTC"),
        (2026, False, True, "not synchronised"),
        (1970, None, True, "in the past"),
        (1970, True, True, "in the past"),
    ],
)
def test_a_clock_that_nothing_sets_is_a_fault(
    year: int, known: bool | None, fault: bool, words: str
) -> None:
    found = host.check_clock(NOW.replace(year=year), known)
    assert found.fault is fault
    assert words in found.says
    assert bool(found.mend) is fault


@pytest.mark.parametrize(
    ("says", "known"), [("echo yes", True), ("echo no", False), ("exit 1", None)]
)
def test_systemd_is_asked_for_the_clock(
    says: str, known: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "timedatectl"
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert host.synchronised() is known


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    topics = [found.topic for found in host.examine(this_device(), tmp_path)]
    assert topics == ["machine", "memory", "disk", "clock"]
