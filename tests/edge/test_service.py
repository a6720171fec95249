import re
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


def test_a_bundle_is_named_by_its_whole_path() -> None:
    with pytest.raises(InputError, match="give the whole path"):
        unit(Service(ENV, bundle="small.kit"))


@pytest.mark.parametrize(
    "path", ["/home/pi/a.kit", "/tmp/a.kit", "/root/x/a.kit", "models/a.kit", "/srv/../home/a.kit"]
)
def test_what_the_service_can_not_see_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        unit(Service(ENV, bundle=path))
    with pytest.raises(InputError):
        unit(Service(ENV, source=path))


def test_odd_signs_reach_the_camera_as_they_are() -> None:
    text = unit(Service(ENV, source='rtsp://cam/p%41$x/a b"c'))
    (command,) = settings(text)["ExecStart"]
    assert '"rtsp://cam/p%%41$$x/a b\\"c"' in command


def test_a_line_break_can_not_add_a_setting() -> None:
    with pytest.raises(InputError):
        unit(Service(ENV, source="rtsp://cam\nUser=root"))


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://ward:s3cret@cam/1",
        "rtsp://cam/user=ward_password=s3cret.sdp",
        "http://cam/video?usr=ward&pwd=s3cret",
        "rtsp://ward:s3cret\n@cam/1",
    ],
)
def test_a_password_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(InputError, match=r"KIT_SOURCE=… into /etc/dermkit\.env") as caught:
        unit(Service(ENV, source=source))
    scheme = source.partition(":")[0]
    assert f"give --source {scheme}:" in str(caught.value)
    assert not {"ward", "s3cret"} & set(re.findall(r"\w+", str(caught.value)))


def test_an_address_that_stands_elsewhere_gets_the_network_and_no_other_camera() -> None:
    found = settings(unit(Service(ENV, source="rtsp:")))
    assert "--source" not in found["ExecStart"][0]
    assert "AF_INET" in found["RestrictAddressFamilies"][0]
    assert "IPAddressDeny" not in found
    assert found["After"] == ["network-online.target"]
    # The file overrides this; where it says nothing, kit camera refuses to begin.
    assert "KIT_SOURCE=rtsp:" in found["Environment"]


def test_a_camera_that_is_not_named_is_left_to_the_file_of_secrets() -> None:
    found = settings(unit(Service(ENV)))
    assert "--source" not in found["ExecStart"][0]
    assert not [each for each in found["Environment"] if "KIT_SOURCE" in each]


@pytest.mark.parametrize(
    "options", [("--capture", "button"), ("--capture=button:22",), ("--web", "--capture", "button")]
)
def test_a_button_gets_its_pin(options: tuple[str, ...]) -> None:
    found = settings(unit(Service(ENV, options=options)))
    assert found["SupplementaryGroups"] == ["video gpio"]
    assert "char-gpiochip rw" in found["DeviceAllow"]
    assert "LG_WD=/tmp" in found["Environment"]


@pytest.mark.parametrize("options", [(), ("--capture", "steady"), ("--mqtt-name", "button")])
def test_without_a_button_no_pin_is_open(options: tuple[str, ...]) -> None:
    text = unit(Service(ENV, options=options))
    assert "gpio" not in text
    assert "LG_WD" not in text


def test_uploads_may_give_way_and_no_other_resource_may_be_changed() -> None:
    filters = settings(unit(Service(ENV)))["SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged @resources", "setpriority"]  # in this order


def no_systemd() -> str:
    """Why systemd can't be asked here; nothing if it can."""
    if shutil.which("systemd-analyze") is None:
        return "no systemd-analyze: apt install systemd"
    told = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True).stdout
    return "" if "--offline" in told else "systemd before 250 can't judge a file"


@pytest.mark.skipif(bool(no_systemd()), reason=no_systemd())
@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("picamera2", ()),
        ("picamera2", ("--capture", "button:22")),
        ("rtsp:", ("--capture=button",)),
        ('rtsp://cam/p%41$x/a b"c', ()),
    ],
)
def test_systemd_finds_nothing_wrong_and_little_exposed(
    source: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    kit = tmp_path / "bin" / "kit"
    kit.parent.mkdir()
    kit.write_text("#!/bin/sh\n")
    kit.chmod(0o755)
    path = tmp_path / service.UNIT
    path.write_text(unit(Service(tmp_path, source=source, options=options)))
    verify = ["systemd-analyze", "verify", "--man=no", path]
    done = subprocess.run(verify, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if service.UNIT in line]
    assert (done.returncode, ours) == (0, [])
    # Exposure from 0 to 10, here in tenths; docs/device.md states it.
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", path]
    done = subprocess.run(security, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "setpriority is allowed" in done.stdout  # as systemd itself reads the filters
