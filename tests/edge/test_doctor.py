import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dermedge import doctor
from dermedge.device import this_device
from dermedge.doctor import Finding

OK_RUNTIME = {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"}
REQUIREMENTS = [
    "numpy>=1.26",
    "jinja2>=3.1; extra == 'report'",
    'matplotlib>=3.8; extra == "report"',
    "tensorflow>=2.16; extra == 'train'",
]


def no_problem(module: str) -> str:
    return ""


def test_a_64_bit_python_is_fine_and_a_32_bit_one_is_a_fault():
    device = this_device()
    assert not doctor.check_python(device, "/usr/bin/python3", 2**63 - 1).fault
    found = doctor.check_python(device, "/usr/bin/python3", 2**31 - 1)
    assert found.fault
    assert "64-bit" in found.mend


@pytest.mark.parametrize(
    ("versions", "fault"),
    [
        ({"dermkit": "0.1.0"}, False),
        ({"dermkit-edge": "0.1.0"}, False),
        ({}, False),
        ({"dermkit": "0.1.0", "dermkit-edge": "0.1.0"}, True),
    ],
)
def test_only_one_of_the_two_distributions_may_be_installed(versions: dict, fault: bool):
    found = doctor.check_kit(versions.get)
    assert found.fault is fault
    assert ("pip uninstall -y dermkit-edge" in found.mend) is fault


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        (OK_RUNTIME, "ai-edge-litert 2.3.0"),
        ({"tflite-runtime": "2.14.0", "numpy": "1.26.4"}, "tflite-runtime 2.14.0"),
        ({**OK_RUNTIME, "tflite-runtime": "2.14.0"}, "ai-edge-litert 2.3.0"),
    ],
)
def test_the_first_runtime_that_loads_is_named(versions: dict, says: str):
    assert doctor.check_runtime(versions.get, no_problem) == Finding("runtime", says)


def test_no_runtime_is_a_fault():
    found = doctor.check_runtime({"numpy": "2.4.6"}.get, no_problem)
    assert found.fault
    assert found.mend == "pip install ai-edge-litert"


def test_a_runtime_that_does_not_load_is_a_fault_that_repeats_the_reason():
    found = doctor.check_runtime(OK_RUNTIME.get, lambda module: "GLIBC_2.38 not found")
    assert found.fault
    assert "GLIBC_2.38 not found" in found.says


def test_the_old_runtime_under_numpy_2_is_a_fault_and_is_not_loaded():
    versions = {"tflite-runtime": "2.14.0", "numpy": "2.4.6"}
    found = doctor.check_runtime(versions.get, lambda module: pytest.fail("loaded"))
    assert found.fault
    assert "numpy<2" in found.mend


@pytest.mark.parametrize(
    ("gui", "says"),
    [("NONE", "headless"), ("QT5", "opens windows (QT5)"), ("GTK3", "opens windows (GTK3)")],
)
def test_opencv_windows_are_read_from_its_build(gui: str, says: str):
    build = f"\n  Media:\n  GUI:                           {gui}\n    VTK support: NO\n"
    found = doctor.check_opencv({"opencv-python": "5.0"}.get, lambda: build)
    assert says in found.says
    assert not found.fault


def test_two_opencvs_share_their_files():
    versions = {"opencv-python": "5.0", "opencv-python-headless": "5.0"}
    found = doctor.check_opencv(versions.get, lambda: "")
    assert found.fault
    assert "pip uninstall -y opencv-python opencv-python-headless" in found.mend


@pytest.mark.parametrize(
    ("versions", "reason", "mend"),
    [
        ({}, "No module named 'cv2'", "opencv-python-headless"),
        (
            {"opencv-python": "5.0"},
            "libGL.so.1: cannot open shared object file",
            "apt install libgl1",
        ),
    ],
)
def test_an_opencv_that_does_not_load_is_a_fault(versions: dict, reason: str, mend: str):
    def build() -> str:
        raise ImportError(reason)

    found = doctor.check_opencv(versions.get, build)
    assert found.fault
    assert mend in found.mend


def test_cameras_that_the_user_may_not_open_are_a_fault():
    nodes = [Path("/dev/video0"), Path("/dev/video1")]
    (found,) = doctor.check_cameras(nodes, lambda node: node.name == "video0")
    assert found.fault
    assert "/dev/video1" in found.says
    assert "usermod -aG video" in found.mend


@pytest.mark.parametrize("nodes", [[], [Path("/dev/video0")]])
def test_no_camera_or_an_open_one_is_no_fault(nodes: list[Path]):
    (found,) = doctor.check_cameras(nodes, lambda node: True)
    assert not found.fault


@pytest.mark.parametrize(
    ("importable", "in_apt", "cpu", "fault", "mend"),
    [
        (True, True, "Raspberry Pi 5", False, ""),
        (False, True, "Raspberry Pi 5", True, "python3 -m venv --system-site-packages ENV"),
        (False, False, "Raspberry Pi 5", False, "sudo apt install python3-picamera2"),
        (False, False, "AMD EPYC", False, ""),
    ],
)
def test_picamera2_is_invisible_in_a_virtual_environment(
    importable: bool, in_apt: bool, cpu: str, fault: bool, mend: str
):
    found = doctor.check_ribbon_camera(importable, in_apt, cpu)
    assert (found.fault, found.mend) == (fault, mend)


def test_a_full_disk_is_a_fault(tmp_path: Path):
    assert doctor.check_disk(tmp_path, 10 * 2**20).fault
    assert not doctor.check_disk(tmp_path, 10 * 2**30).fault


def test_an_extra_is_there_only_if_every_package_of_it_is():
    versions = {"jinja2": "3.1.6", "matplotlib": "3.9.0"}
    assert doctor.check_extra("report", REQUIREMENTS, versions.get).mend == ""
    half = doctor.check_extra("report", REQUIREMENTS, {"jinja2": "3.1.6"}.get)
    assert "matplotlib" in half.says
    assert "jinja2" not in half.says


def test_an_absent_extra_is_no_fault_and_says_how_to_add_it():
    found = doctor.check_extra("train", REQUIREMENTS, {}.get)
    assert not found.fault
    assert found.mend == "pip install 'dermkit[train]'"


def test_every_extra_of_a_device_is_told_of():
    text = (Path(__file__).parents[2] / "edge_runtime" / "pyproject.toml").read_text("utf-8")
    listed = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    names = set(re.findall(r"^([\w-]+) = ", listed, re.MULTILINE))
    assert set(doctor.EXTRAS) == names - {"tflite"} | {"train"}
    assert {f"extra [{name}]" for name in doctor.EXTRAS} <= {f.topic for f in doctor.examine()}


def test_a_device_is_not_told_to_install_the_other_distribution():
    device = {"dermkit-edge": "0.1.0"}.get
    assert doctor.check_extra("report", REQUIREMENTS, device).mend == (
        "pip install 'dermkit-edge[report]'"
    )
    assert doctor.check_extra("train", REQUIREMENTS[:2], device).mend == ""


@pytest.mark.parametrize(
    ("versions", "driver", "says", "mend"),
    [
        ({}, True, "not installed", ""),
        ({"tensorflow": "2.21.0"}, False, "no NVIDIA driver", ""),
        ({"tensorflow": "2.21.0"}, True, "no CUDA", "pip install 'tensorflow[and-cuda]==2.21.0'"),
        ({"tensorflow": "2.21.0", "nvidia-cudnn-cu12": "9.3"}, True, "can use it", ""),
    ],
)
def test_a_gpu_is_guessed_without_loading_tensorflow(
    versions: dict, driver: bool, says: str, mend: str
):
    found = doctor.check_gpu(versions.get, driver)
    assert says in found.says
    assert found.mend == mend
    assert not found.fault


def test_the_text_shows_faults_and_the_line_that_mends_each():
    findings = [Finding("a", "fine"), Finding("long", "bad", "do this", True)]
    assert doctor.as_text(findings).splitlines() == [
        "   ok  a     fine",
        "FAULT  long  bad",
        "             -> do this",
    ]


def test_this_machine_is_examined_without_loading_tensorflow():
    code = (
        "import sys; from dermedge import doctor; found = doctor.examine(); "
        "assert 'tensorflow' not in sys.modules; print(len(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10


def test_the_command_prints_json_and_nothing_else():
    kit = Path(sys.executable).with_name("kit")
    done = subprocess.run([kit, "doctor", "--json"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert {"topic", "says", "mend", "fault"} == set(found[0])
    assert done.returncode == (1 if any(f["fault"] for f in found) else 0)
    assert "Traceback" not in done.stderr
