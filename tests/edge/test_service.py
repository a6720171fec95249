import shutil
import subprocess
from pathlib import Path

import pytest

from dermedge import service
from dermedge.errors import InputError
from dermedge.service import Service, unit

ENV = Path("/opt/dermkit")


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_runs_the_camera_and_keeps_a_record() -> None:
    (command,) = settings(unit(Service(ENV, source="picamera2", threads=3)))["ExecStart"]
    assert command == (
        "/opt/dermkit/bin/kit camera installed --source picamera2 --no-window "
        "--record /var/lib/dermkit/records.jsonl --threads 3"
    )


def test_the_command_of_the_unit_is_one_that_kit_camera_takes() -> None:
    import typer

    from dermedge.cli import app

    camera = typer.main.get_command(app).commands["camera"]  # type: ignore[attr-defined]
    words = service.command(Service(ENV, "/srv/a.kit", "rtsp://cam/1", 2, allow_unsigned=True))
    camera.make_context("camera", words[2:])


def test_the_watchdog_is_more_patient_than_the_loop() -> None:
    from dermedge.live import PATIENCE_S
    from dermedge.notify import _EVERY_S

    (patience,) = settings(unit(Service(ENV)))["WatchdogSec"]
    assert int(patience) > PATIENCE_S + 2 * _EVERY_S


def test_only_a_network_camera_gets_the_network() -> None:
    alone = settings(unit(Service(ENV)))
    assert alone["RestrictAddressFamilies"] == ["AF_UNIX AF_NETLINK"]
    assert alone["IPAddressDeny"] == ["any"]
    assert "After" not in alone
    networked = settings(unit(Service(ENV, source="rtsp://cam/1")))
    assert "AF_INET" in networked["RestrictAddressFamilies"][0]
    assert "IPAddressDeny" not in networked
    assert networked["After"] == ["network-online.target"]


def test_a_page_for_this_machine_gets_no_more_than_it() -> None:
    alone = settings(unit(Service(ENV, options=("--web",))))
    assert "AF_INET" in alone["RestrictAddressFamilies"][0]
    assert (alone["IPAddressDeny"], alone["IPAddressAllow"]) == (["any"], ["localhost"])
    for options in (("--web", "--web-listen", "0.0.0.0"), ("--mqtt", "mqtts://broker")):
        shown = settings(unit(Service(ENV, options=options)))
        assert "IPAddressDeny" not in shown
        assert shown["ExecStart"][0].endswith(" ".join(options))
    assert alone["EnvironmentFile"] == ["-/etc/dermkit.env"]


@pytest.mark.parametrize("path", ["/home/pi/a.kit", "/tmp/a.kit", "/root/x/a.kit", "models/a.kit"])
def test_what_the_service_can_not_see_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        unit(Service(ENV, bundle=path))
    with pytest.raises(InputError):
        unit(Service(ENV, source=path))


def test_odd_signs_reach_the_camera_as_they_are() -> None:
    text = unit(Service(ENV, source='rtsp://u:p%41$x@cam/a b"c'))
    (command,) = settings(text)["ExecStart"]
    assert '"rtsp://u:p%%41$$x@cam/a b\\"c"' in command


def test_a_line_break_can_not_add_a_setting() -> None:
    with pytest.raises(InputError):
        unit(Service(ENV, source="rtsp://cam\nUser=root"))


def no_systemd() -> str:
    """Why systemd can't be asked here; nothing if it can."""
    if shutil.which("systemd-analyze") is None:
        return "no systemd-analyze: apt install systemd"
    told = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True).stdout
    return "" if "--offline" in told else "systemd before 250 can't judge a file"


@pytest.mark.skipif(bool(no_systemd()), reason=no_systemd())
@pytest.mark.parametrize("source", ["picamera2", 'rtsp://u:p%41$x@cam/a b"c'])
def test_systemd_finds_nothing_wrong_and_little_exposed(source: str, tmp_path: Path) -> None:
    kit = tmp_path / "bin" / "kit"
    kit.parent.mkdir()
    kit.write_text("#!/bin/sh\n")
    kit.chmod(0o755)
    path = tmp_path / service.UNIT
    path.write_text(unit(Service(tmp_path, source=source)))
    verify = ["systemd-analyze", "verify", "--man=no", path]
    done = subprocess.run(verify, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if service.UNIT in line]
    assert (done.returncode, ours) == (0, [])
    # Exposure from 0 to 10, here in tenths; docs/device.md states it.
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", path]
    done = subprocess.run(security, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
