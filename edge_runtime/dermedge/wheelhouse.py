"""A folder of wheels: the kit and all that it needs, for a device without internet."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from email.parser import HeaderParser
from pathlib import Path

from dermedge import __version__, atomic
from dermedge.errors import InputError, KitError, MissingError, StorageError
from dermedge.installation import DISTRIBUTION, ENVIRONMENT, UNPUBLISHED, requirement
from dermedge.ribbon import NUMPY_2

NOTE = "INSTALL.txt"

# glibc of Raspberry Pi OS Bookworm; a newer system takes the same wheels. pip takes platform names
# literally, so that every older one has to be named too, or it silently picks an old release.
_GLIBC = range(36, 16, -1)
_SOURCE = Path(__file__).parents[1]  # edge_runtime in a clone
_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
_COLLECTING = re.compile(r"^(?:Collecting|Processing) (\S+)")
_NAME = re.compile(r"[\w.-]+")
# pip asks these of the machine that it runs on, not of the one that it collects for.
_OF_THE_MACHINE = re.compile(r"python_version|python_full_version|platform_machine|implementation")
_OF_THE_SYSTEM = re.compile(r"extra|sys_platform|platform_system|os_name")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The device to collect for.

    Attributes:
        platforms: Wheel platforms; `linux_aarch64` stands for all that a 64-bit Raspberry Pi takes.
        python: Version of its Python, as 3.11.
        extras: Extras of the kit, as sign.
    """

    platforms: tuple[str, ...] = ("linux_aarch64",)
    python: str = "3.11"
    extras: tuple[str, ...] = ()


def collect(out: Path, target: Target, wheel: Path | None, say: Say) -> Sequence[Path]:
    """Collect the wheels, and write beside them how to install them.

    Args:
        out: The folder; it appears whole or not at all.
        target: For which device.
        wheel: The kit's own wheel; None: built from the clone that runs.
        say: Told each package as it is collected.

    Returns:
        The wheels, sorted by name.

    Raises:
        InputError: The folder holds something, or a package has no wheel for the device.
        MissingError: pip is not in this environment, or can't reach what it needs.
        StorageError: The folder can't be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} already holds something; name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            folder = Path(name) / "wheels"
            folder.mkdir()
            own = _own_wheel(folder, wheel, say)
            _download(folder, [requirement(own, target.extras), NUMPY_2], target, say)
            _complete(folder, target, say)
            atomic.write_text(folder / NOTE, note(target, own.name.split("-")[1]))
            os.replace(folder, out)
    except OSError as error:
        raise StorageError(f"{out} can't be written: {error.strerror or error}") from error
    return sorted(out.glob("*.whl"))


def note(target: Target, version: str) -> str:
    """What INSTALL.txt says.

    Args:
        target: The device that the wheels are for.
        version: Of the kit.
    """
    wanted = f"'{requirement(None, target.extras)}=={version}' '{NUMPY_2}'"
    python = f"{ENVIRONMENT}/bin/python"
    extras = "".join(f" --extra {extra}" for extra in target.extras)
    return (
        f"{DISTRIBUTION} {version} for {', '.join(target.platforms)}, Python {target.python}.\n"
        f"Collected {date.today().isoformat()}.\n\n"
        "Copy this folder to the device, go into it, and run this one line:\n\n"
        f"sudo python3 -m venv --system-site-packages {ENVIRONMENT} && "
        f"sudo {python} -m pip install --no-index --find-links . {wanted}\n\n"
        "For a service that starts with the device, then run (--dry-run shows what it does):\n\n"
        f"sudo {ENVIRONMENT}/bin/kit edge install --wheelhouse .{extras}\n\n"
        f"python3 --version must say {target.python} on the device: Raspberry Pi OS Bookworm has "
        "3.11, Trixie 3.13.\n"
    )


def _own_wheel(folder: Path, wheel: Path | None, say: Say) -> Path:
    """Put the kit's own wheel into the folder."""
    if wheel is not None:
        if not wheel.name.startswith("dermkit_edge-") or not zipfile.is_zipfile(wheel):
            raise InputError(f"{wheel} is no wheel of {DISTRIBUTION}; make wheels builds one")
        return Path(shutil.copy(wheel, folder))
    if not (_SOURCE / "pyproject.toml").is_file():
        raise InputError(f"name the kit's own wheel with --wheel: {UNPUBLISHED}")
    say(f"{DISTRIBUTION} {__version__}")
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(_SOURCE))
    return next(folder.glob("dermkit_edge-*.whl"))


def _download(folder: Path, wanted: Sequence[str], target: Target, say: Say) -> None:
    """Let pip collect wheels for another machine.

    Raises:
        InputError: A package has no wheel for it.
        MissingError: There is no pip, or it can't reach its index.
    """
    options = ["--dest", str(folder), "--only-binary", ":all:", "--python-version", target.python]
    for platform in _expanded(target.platforms):
        options += ["--platform", platform]
    try:
        _pip("download", *options, *wanted, say=say)
    except InputError as error:
        machine = ", ".join(target.platforms)
        hint = " A 32-bit system has none: install the 64-bit edition." if "arm" in machine else ""
        raise InputError(
            f"{error} for Python {target.python} on {machine}.{hint} Other wheels may lie in a "
            "folder that PIP_FIND_LINKS names."
        ) from error


def _expanded(platforms: Sequence[str]) -> Iterator[str]:
    for platform in platforms:
        system, _, machine = platform.partition("_")
        if system == "linux":
            yield from (f"manylinux_2_{minor}_{machine}" for minor in _GLIBC)
            yield f"manylinux2014_{machine}"
        yield platform


def _complete(folder: Path, target: Target, say: Say) -> None:
    """Add what only the device's Python or machine asks for; a wheel too many does no harm."""
    tried: set[str] = set()
    while absent := sorted(set(_conditional(folder)) - tried):
        tried.update(absent)
        for wanted in absent:
            try:
                _download(folder, [wanted], target, say)
            except InputError:
                say(f"left out {wanted}: no wheel, and perhaps not needed")


def _conditional(folder: Path) -> Iterator[str]:
    """Requirements, without their conditions, whose package isn't in the folder."""
    wheels = list(folder.glob("*.whl"))
    there = {_normal(path.name.partition("-")[0]) for path in wheels}
    for path in wheels:
        for line in _requirements(path):
            wanted, _, condition = line.partition(";")
            name = _NAME.match(wanted)
            if not _OF_THE_MACHINE.search(condition) or _OF_THE_SYSTEM.search(condition):
                continue
            if name and _normal(name[0]) not in there:
                yield wanted.strip().replace("(", "").replace(")", "")


def _requirements(wheel: Path) -> Sequence[str]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA"):
                text = archive.read(name).decode(errors="replace")
                return HeaderParser().parsestr(text).get_all("Requires-Dist") or []
    return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(*arguments: str, say: Say | None = None) -> None:
    """Run pip, and tell each package that it collects.

    Raises:
        InputError: A package has no wheel that fits.
        MissingError: There is no pip, or it failed otherwise.
    """
    plain = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    command = [sys.executable, "-m", "pip", arguments[0], *plain, *arguments[1:]]
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as pip:
            for line in pip.stdout or ():
                if say is not None and (found := _COLLECTING.match(line)):
                    say(Path(found[1]).name)
        if pip.returncode:
            errors.seek(0)
            raise _failed(errors.read())


def _failed(said: str) -> KitError:
    """What pip's complaints mean."""
    if "No module named pip" in said:
        return MissingError(f"pip is not in this environment: {sys.executable} -m ensurepip")
    # Without a network pip also says that nothing matches, after it has said why.
    if (lacking := _NO_WHEEL.search(said)) and "NewConnectionError" not in said:
        return InputError(f"no wheel of {lacking[1]}")
    lines = said.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return MissingError(f"pip could not collect the wheels: {' '.join(errors or lines[-3:])}")
