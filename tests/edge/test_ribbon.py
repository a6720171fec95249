from pathlib import Path

import pytest

from dermedge import ribbon
from dermedge.ribbon import Sight

PI = "Raspberry Pi 5 Model B Rev 1.0"
BOTH = frozenset({"picamera2", "libcamera"})
NONE: frozenset[str] = frozenset()


def environment(folder: Path, sees_the_system: str) -> Path:
    (folder / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {sees_the_system}\nversion = 3.11.2\n"
    )
    return folder / "pyvenv.cfg"


def test_an_environment_that_hides_picamera2_is_a_fault_with_the_line_that_opens_it(
    tmp_path: Path,
) -> None:
    config = environment(tmp_path, "false")
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    sight = ribbon.look({}.get, root=tmp_path, prefix=tmp_path)
    assert (sight.in_apt, sight.closed) == (frozenset({"picamera2"}), config)
    found = ribbon.check(sight, PI)
    assert found.fault
    assert str(config) in found.says
    assert found.mend == f"sed -i '/^include-system/s/false/true/' {config}"


@pytest.mark.parametrize("written", ["true", "True"])
def test_an_open_environment_and_no_environment_hide_nothing(written: str, tmp_path: Path) -> None:
    assert ribbon.closed_by(tmp_path) is None
    environment(tmp_path, written)
    assert ribbon.closed_by(tmp_path) is None


def test_the_line_that_opens_it_does(tmp_path: Path) -> None:
    import subprocess

    environment(tmp_path, "false")
    found = ribbon.check_ribbon_camera(False, True, PI, ribbon.closed_by(tmp_path))
    subprocess.run(found.mend, shell=True, check=True)
    assert ribbon.closed_by(tmp_path) is None


def test_picamera2_without_libcamera_is_a_fault() -> None:
    found = ribbon.check(Sight(frozenset({"picamera2"}), BOTH), PI)
    assert found.fault
    assert found.mend == "sudo apt install python3-libcamera"


@pytest.mark.parametrize(
    ("numpy", "simplejpeg", "fault"),
    [
        ("2.4.6", "1.6.4", True),
        ("2.4.6", "1.8.2", False),
        ("1.26.4", "1.6.4", False),
        ("2.4.6", None, False),
        (None, None, False),
    ],
)
def test_numpy_2_under_the_picamera2_of_bookworm_is_a_fault(
    numpy: str | None, simplejpeg: str | None, fault: bool
) -> None:
    found = ribbon.check(Sight(BOTH, BOTH, None, numpy, simplejpeg), PI)
    assert found.fault is fault
    assert ("pip install 'simplejpeg>=1.8'" in found.mend) is fault


def test_no_ribbon_camera_is_no_fault() -> None:
    assert not ribbon.check(Sight(NONE, NONE), PI).fault
    assert ribbon.check(Sight(NONE, NONE), "AMD EPYC").mend == ""
