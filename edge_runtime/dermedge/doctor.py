"""What this machine has and lacks, and the one line that mends each fault."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module, metadata
from pathlib import Path

from dermedge import board, host, ribbon
from dermedge.device import Device, this_device
from dermedge.finding import Finding
from dermedge.finding import as_dict as as_dict
from dermedge.finding import as_text as as_text
from dermedge.host import check_disk as check_disk
from dermedge.openvino import DISTRIBUTION as OPENVINO
from dermedge.ribbon import check_ribbon_camera as check_ribbon_camera
from dermedge.tflite import RUNTIMES

DISTRIBUTIONS = ("dermkit", "dermkit-edge")
# tflite is not among them: the runtime is a question of its own.
EXTRAS = ("report", "sign", "crypt", "web", "mqtt", "gpio", OPENVINO, "train")
_NVIDIA = Path("/proc/driver/nvidia/version")
_GUI = re.compile(r"^\s*GUI:\s*(\S*)", re.MULTILINE)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")
_NAME = re.compile(r"[\w.-]+")

# Version of an installed distribution; None if it is not installed.
Version = Callable[[str], "str | None"]


def examine() -> Sequence[Finding]:
    """Look at this machine; takes well under a second and changes nothing."""
    device = this_device()
    return (
        check_python(device, sys.executable, sys.maxsize),
        check_kit(installed),
        *host.examine(device, Path.cwd()),
        *board.examine(),
        check_numpy(installed),
        check_runtime(installed, _imports),
        check_opencv(installed, _opencv_build),
        *check_cameras(sorted(Path("/dev").glob("video*")), _may_open),
        ribbon.check(ribbon.look(installed), device.cpu),
        *(check_extra(extra, _requirements(), installed) for extra in EXTRAS),
        check_gpu(installed, _NVIDIA.is_file() or shutil.which("nvidia-smi") is not None),
    )


def check_python(device: Device, executable: str, largest: int) -> Finding:
    """Python, and whether it is a 64-bit one: a 64-bit kernel may carry 32-bit programs."""
    says = f"{device.python} ({executable})"
    if largest > 2**32:
        return Finding("Python", says)
    mend = "install the 64-bit edition of the operating system (Raspberry Pi OS 64-bit)"
    return Finding("Python", f"{says} is a 32-bit program: no runtime exists for it", mend, True)


def check_kit(version: Version) -> Finding:
    """Which distribution brought the kit, and that it is only one of the two."""
    found = [f"{name} {version(name)}" for name in DISTRIBUTIONS if version(name)]
    if len(found) > 1:
        full, edge = DISTRIBUTIONS
        mend = f"pip uninstall -y {edge} && pip install --force-reinstall --no-deps {full}"
        says = f"{' and '.join(found)} share their files, so one breaks the other"
        return Finding("kit", says, mend, True)
    return Finding("kit", found[0] if found else "run from its source, not installed")


def check_numpy(version: Version) -> Finding:
    """The version of numpy; whether a runtime fits it is `check_runtime`'s question."""
    return Finding("numpy", version("numpy") or "not from pip")


def check_runtime(version: Version, imports: Callable[[str], str]) -> Finding:
    """The first runtime that can be imported, as `dermedge.model` picks it."""
    best, old = (distribution for _, distribution in RUNTIMES)
    install = f"pip install {best}"
    if version(old) and not version(best) and _major(version("numpy")) >= 2:
        says = f"{old} {version(old)} needs numpy below 2, found {version('numpy')}"
        return Finding("runtime", says, f"{install} (or: pip install 'numpy<2')", True)
    problems = []
    for module, name in RUNTIMES:
        problem = imports(module) if version(name) else "not installed"
        if not problem:
            return Finding("runtime", f"{name} {version(name)}")
        problems.append(f"{name}: {problem}")
    return Finding("runtime", "; ".join(problems), install, True)


def check_opencv(version: Version, build: Callable[[], str]) -> Finding:
    """OpenCV, whether it can open windows, and that it is there only once."""
    names = ("opencv-python", "opencv-python-headless")
    found = [name for name in names if version(name)]
    headless = "pip install --force-reinstall --no-deps opencv-python-headless"
    if len(found) > 1:
        mend = f"pip uninstall -y {' '.join(names)} && {headless}"
        return Finding("OpenCV", f"{' and '.join(found)} share their files", mend, True)
    try:
        text = build()
    except ImportError as error:
        lacks_library = bool(found) and ".so" in str(error)
        mend = "sudo apt install libgl1 libglib2.0-0" if lacks_library else headless
        return Finding("OpenCV", f"can't be loaded: {error}", mend, True)
    says = f"{found[0]} {version(found[0])}" if found else "not from pip"
    gui = _GUI.search(text)
    if gui and gui[1] != "NONE":
        return Finding("OpenCV", f"{says}, opens windows ({gui[1]})")
    return Finding("OpenCV", f"{says}, headless: kit camera shows no window")


def check_cameras(nodes: Sequence[Path], may_open: Callable[[Path], bool]) -> Iterable[Finding]:
    """Video devices, and whether this user may open them."""
    if not nodes:
        return (Finding("cameras", "no /dev/video*; a camera stream or a file works all the same"),)
    shut = [node for node in nodes if not may_open(node)]
    if shut:
        says = f"{_names(shut)}: this user may not open them"
        mend = 'sudo usermod -aG video "$USER", then log in again'
        return (Finding("cameras", says, mend, True),)
    return (Finding("cameras", _names(nodes)),)


def check_extra(extra: str, requirements: Sequence[str], version: Version) -> Finding:
    """Whether every package of an optional extra is installed; absence is no fault."""
    topic = f"extra [{extra}]"
    names = [_NAME.match(line) for line in requirements if extra in _EXTRA.findall(line)]
    wanted = [name[0] for name in names if name]
    absent = [name for name in wanted if not version(name)]
    if wanted and not absent:
        return Finding(topic, ", ".join(f"{name} {version(name)}" for name in wanted))
    full, edge = DISTRIBUTIONS
    if not wanted and version(edge):
        return Finding(topic, f"no part of {edge}: it belongs on a training host")
    says = f"not installed: {', '.join(absent) or 'this distribution does not bring it'}"
    return Finding(topic, says, f"pip install '{edge if version(edge) else full}[{extra}]'")


def check_gpu(version: Version, driver: bool) -> Finding:
    """Whether TensorFlow would find a GPU, guessed without loading it (that takes seconds)."""
    tensorflow = version("tensorflow")
    if not tensorflow:
        return Finding("GPU", "not asked: TensorFlow is not installed, nothing else uses one")
    if not driver:
        return Finding("GPU", f"no NVIDIA driver: TensorFlow {tensorflow} trains on the processor")
    libraries = [n for n in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13") if version(n)]
    if libraries:
        return Finding(
            "GPU", f"NVIDIA driver and {libraries[0]}: TensorFlow {tensorflow} can use it"
        )
    says = f"NVIDIA driver, but no CUDA libraries from pip for TensorFlow {tensorflow}"
    return Finding("GPU", says, f"pip install 'tensorflow[and-cuda]=={tensorflow}'")


def installed(name: str) -> str | None:
    """Version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _imports(module: str) -> str:
    """Import a runtime; what went wrong, or nothing."""
    try:
        import_module(module)
    except (ImportError, AttributeError, OSError) as error:
        return str(error).strip().rpartition("\n")[2] or type(error).__name__
    return ""


def _opencv_build() -> str:
    import cv2

    return cv2.getBuildInformation()


def _requirements() -> Sequence[str]:
    """What the kit requires on this Python; lines for other Pythons only are left out."""
    for name in DISTRIBUTIONS:
        if installed(name):
            lines = metadata.requires(name) or ()
            return [line for line in lines if "python_version" not in line]
    return ()


def _may_open(node: Path) -> bool:
    return os.access(node, os.R_OK | os.W_OK)


def _major(version: str | None) -> int:
    number = (version or "").partition(".")[0]
    return int(number) if number.isdigit() else 0


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
