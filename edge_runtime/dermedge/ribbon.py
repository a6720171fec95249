"""A Raspberry Pi's own camera: Picamera2 and libcamera, which come from apt and not from pip."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dermedge.finding import Finding

# Picamera2 loads it; the one of Bookworm's apt was built against NumPy 1 (picamera2 #1088, #1211),
# and OpenCV from pip asks for NumPy 2. In the environment this one takes its place.
NUMPY_2 = "simplejpeg>=1.8"

_APT = Path("usr/lib/python3/dist-packages")
_TOPIC = "ribbon camera"
_MODULES = ("picamera2", "libcamera")


@dataclass(frozen=True, slots=True)
class Sight:
    """What this Python and apt have.

    Attributes:
        modules: Those of Picamera2 and libcamera that can be imported.
        in_apt: Those that apt installed.
        closed: The pyvenv.cfg that keeps them apart; None if none does.
        numpy: Version of NumPy; None if there is none.
        simplejpeg: Version of simplejpeg; None if there is none.
    """

    modules: frozenset[str]
    in_apt: frozenset[str]
    closed: Path | None = None
    numpy: str | None = None
    simplejpeg: str | None = None


def look(
    version: Callable[[str], str | None], root: Path = Path("/"), prefix: Path = Path(sys.prefix)
) -> Sight:
    """Look for both.

    Args:
        version: Version of an installed distribution; None if it isn't.
        root: Where apt's modules lie.
        prefix: The environment of this Python.
    """
    return Sight(
        frozenset(name for name in _MODULES if find_spec(name)),
        frozenset(name for name in _MODULES if (root / _APT / name).is_dir()),
        closed_by(prefix),
        version("numpy"),
        version("simplejpeg"),
    )


def closed_by(prefix: Path) -> Path | None:
    """The pyvenv.cfg of an environment that can't see the system's packages."""
    config = prefix / "pyvenv.cfg"
    try:
        lines = config.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    except OSError:
        return None
    settings = {key.strip(): value.strip() for key, _, value in (x.partition("=") for x in lines)}
    return None if settings.get("include-system-site-packages") == "true" else config


def check(sight: Sight, cpu: str) -> Finding:
    """Whether a ribbon camera could be used; `cpu` tells whether there might be one."""
    if "picamera2" in sight.modules:
        return _check_parts(sight)
    return check_ribbon_camera(False, "picamera2" in sight.in_apt, cpu, sight.closed)


def check_ribbon_camera(
    importable: bool, in_apt: bool, cpu: str, closed: Path | None = None
) -> Finding:
    """Picamera2, which is invisible in an ordinary virtual environment."""
    if importable:
        return Finding(_TOPIC, "picamera2 is there")
    if in_apt:
        says = f"picamera2 is in /{_APT} but this Python can't see it"
        mend = "python3 -m venv --system-site-packages ENV"
        if closed:
            says += f": {closed} says include-system-site-packages = false"
            mend = f"sed -i '/^include-system/s/false/true/' {closed}"
        return Finding(_TOPIC, says, mend, True)
    mend = "sudo apt install python3-picamera2" if "raspberry" in cpu.lower() else ""
    return Finding(_TOPIC, "no picamera2 (only a Raspberry Pi's own camera asks it)", mend)


def _check_parts(sight: Sight) -> Finding:
    """What picamera2 itself needs in order to load."""
    if "libcamera" not in sight.modules:
        says = "picamera2 is there, but not libcamera, which it works with"
        return Finding(_TOPIC, says, "sudo apt install python3-libcamera", True)
    if _number(sight.numpy) >= (2,) and sight.simplejpeg and _number(sight.simplejpeg) < (1, 8):
        says = f"picamera2 loads simplejpeg {sight.simplejpeg}, made for NumPy 1, here is NumPy 2"
        return Finding(_TOPIC, says, f"{sys.executable} -m pip install '{NUMPY_2}'", True)
    return Finding(_TOPIC, "picamera2 is there")


def _number(version: str | None) -> tuple[int, ...]:
    parts = (version or "").split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())
