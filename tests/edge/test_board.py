import os
from pathlib import Path

import pytest

from dermedge import board

GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the Raspberry Pi's tool, first on the PATH; it says what is in `says`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "vcgencmd"
    tool.write_text(f'#!/bin/sh\ntest "$1" = get_throttled && cat {folder}/says\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "says"


@pytest.mark.parametrize(
    ("says", "fault", "words", "mend"),
    [
        ("throttled=0x0", False, "enough", ""),
        ("throttled=0x1", True, "under-voltage now (0x1)", "power supply"),
        ("throttled=0x50005", True, "under-voltage, throttled now", "power supply"),
        ("throttled=0x50000", True, "under-voltage, throttled since the start", "power supply"),
        ("throttled=0x2", True, "frequency capped now", "fan"),
        ("throttled=0x4", True, "throttled now", "fan"),
        ("throttled=0x8", True, "at its soft temperature limit now", "fan"),
        ("throttled=0xe0000", False, "frequency capped, throttled, at its soft", "fan"),
        ("vcgencmd: no such command", False, "not known", ""),
    ],
)
def test_every_bit_of_get_throttled(
    says: str, fault: bool, words: str, mend: str, vcgencmd: Path, tmp_path: Path
) -> None:
    vcgencmd.write_text(says)
    found = board.check_power(board.throttled(tmp_path))
    assert found.fault is fault
    assert words in found.says
    assert mend in found.mend
    assert bool(found.mend) is bool(mend)


def test_without_the_tool_the_kernel_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert board.throttled(tmp_path) is None
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005")
    assert board.throttled(tmp_path) == 0x50005


def test_a_tool_that_hangs_is_not_waited_for(
    vcgencmd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dermedge.ask._PATIENCE_S", 0.1)
    vcgencmd.with_name("vcgencmd").write_text("#!/bin/sh\nexec sleep 20\n")
    assert board.throttled(tmp_path) is None


@pytest.mark.parametrize(
    ("millidegrees", "says", "fault", "hint"),
    [(45_123, "45 °C", False, False), (74_000, "74 °C", False, True), (85_000, "85", True, True)],
)
def test_the_hottest_zone_counts(
    millidegrees: int, says: str, fault: bool, hint: bool, tmp_path: Path
) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "20000")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", str(millidegrees))
    put(tmp_path, "sys/class/thermal/thermal_zone2/temp", "asleep")
    found = board.check_temperature(board.temperature(tmp_path))
    assert says in found.says
    assert (found.fault, bool(found.mend)) == (fault, hint)


@pytest.mark.parametrize(
    ("names", "fault", "hint"),
    [
        (["schedutil", "schedutil"], False, False),
        (["performance"], False, False),
        (["ondemand"] * 4, False, True),
        (["performance", "powersave"], True, True),
    ],
)
def test_a_slow_governor_is_seen_and_powersave_is_a_fault(
    names: list[str], fault: bool, hint: bool, tmp_path: Path
) -> None:
    for number, name in enumerate(names):
        put(tmp_path, GOVERNOR.format(number), name)
    found = board.check_governor(board.governors(tmp_path))
    assert (found.fault, bool(found.mend)) == (fault, hint)
    assert found.says == ", ".join(sorted(set(names)))


def test_a_machine_that_tells_nothing_has_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = board.examine(tmp_path)
    assert [one.topic for one in found] == ["power", "temperature", "governor"]
    assert not any(one.fault or one.mend for one in found)
