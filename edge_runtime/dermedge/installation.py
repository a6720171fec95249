"""Put the kit and its service on this device, or take both off: the steps, then their doing."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermedge import address, atomic
from dermedge.errors import InputError, KitError, StorageError
from dermedge.ribbon import NUMPY_2
from dermedge.service import SECRETS, STATE, UNIT, Service, unit

DISTRIBUTION = "dermkit-edge"
# Whoever takes that name there would be root on the device.
UNPUBLISHED = (
    f"{DISTRIBUTION} is in no public index yet; make wheels, in a clone, builds it into dist/"
)
ENVIRONMENT = Path("/opt/dermkit")
UNITS = Path("/etc/systemd/system")

_PYTHON = "/usr/bin/python3"  # the system's own: Picamera2 is made for it and for no other


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command; `advice` is what to say if it fails."""

    words: tuple[str, ...]
    advice: str = ""

    def __str__(self) -> str:
        return f"run    {shlex.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file, whole or not at all."""

    path: Path
    text: str

    def __str__(self) -> str:
        body = "".join(f"       | {line}\n" for line in self.text.splitlines())
        return f"write  {self.path}\n{body}".rstrip()


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file or a folder; absent, there is nothing to do."""

    path: Path

    def __str__(self) -> str:
        return f"remove {self.path}"


Step = Run | Write | Remove
Runner = Callable[[Sequence[str]], int]


def requirement(wheel: Path | None, extras: Sequence[str]) -> str:
    """The kit as pip is to find it.

    Args:
        wheel: The kit's wheel; None: by its name, in a wheelhouse.
        extras: Extras of the kit, as sign.

    Raises:
        InputError: There is no such file.
    """
    if wheel is not None and not wheel.is_file():
        raise InputError(f"{wheel} is not there; make wheels builds it into dist/")
    name = DISTRIBUTION if wheel is None else str(wheel.resolve())
    return f"{name}[{','.join(extras)}]" if extras else name


def install(
    service: Service,
    wanted: str,
    wheelhouse: Path | None = None,
    start: bool = False,
    units: Path = UNITS,
    lean: bool = False,
) -> Sequence[Step]:
    """The steps that put the kit and its service here; to take them again is an update.

    Args:
        service: What to run.
        wanted: The kit as pip is to find it, e.g. "dermkit-edge[sign]==0.1.0", or a wheel.
        wheelhouse: Take every wheel from this folder, none from an index.
        start: Also let systemd start it, now and with the device.
        units: Where units are written.
        lean: Take less of the card: Python compiles only what root runs, and pip and setuptools go
            when they have done their work. An update brings them back for itself.

    Raises:
        InputError: Something that the service can't see, or a wheelhouse without wheels.
    """
    python = str(service.environment / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--upgrade"]
    pip += ["--no-compile"] if lean else []
    if wheelhouse is not None:
        if not any(wheelhouse.glob("*.whl")):
            raise InputError(f"{wheelhouse} holds no wheels; kit edge wheelhouse collects them")
        pip += ["--no-index", "--find-links", str(wheelhouse)]
    made = (_PYTHON, "-m", "venv", "--system-site-packages", str(service.environment))
    steps = [
        Run(made, "sudo apt install python3-venv"),
        Run((*pip, wanted, NUMPY_2), "kit edge wheelhouse collects what a device can't download"),
        *([Run((python, "-m", "pip", "uninstall", "--yes", "setuptools", "pip"))] if lean else []),
        Write(units / UNIT, unit(service)),
    ]
    return [*steps, *(Run(words) for words in systemctl_start())] if start else steps


def uninstall(environment: Path, stop: bool = False, units: Path = UNITS) -> Sequence[Step]:
    """The steps that take the service and the environment off; records and models stay.

    Args:
        environment: What `install` made.
        stop: Also let systemd stop it; without, it must not be enabled.
        units: Where units are written.

    Raises:
        InputError: The folder is no environment of the kit, or the service is still enabled.
    """
    ours = all((environment / part).is_file() for part in ("pyvenv.cfg", "bin/kit"))
    if environment.exists() and not ours:
        raise InputError(f"{environment} is no environment of the kit; nothing was removed")
    enabled = (units / "multi-user.target.wants" / UNIT).is_symlink()
    if enabled and not stop:
        words = shlex.join(systemctl_stop())
        raise InputError(f"the service is enabled; add --systemctl, or first run: sudo {words}")
    before = [Run(systemctl_stop())] if stop and (units / UNIT).exists() else []
    after = [Run(("systemctl", "daemon-reload"))] if stop else []
    return [*before, Remove(units / UNIT), *after, Remove(environment)]


def systemctl_start() -> Sequence[tuple[str, ...]]:
    """What makes systemd run the service, now and with the device; a running one begins anew."""
    verbs = (("daemon-reload",), ("enable", UNIT), ("restart", UNIT))
    return [("systemctl", *words) for words in verbs]


def systemctl_stop() -> tuple[str, ...]:
    """What makes systemd stop the service, now and with the next start of the device."""
    return ("systemctl", "disable", "--now", UNIT)


def next_steps(service: Service, started: bool) -> Sequence[str]:
    """Commands that remain after `install`, with a word on each."""
    kit = f"sudo {service.environment}/bin/kit"
    lacks = address.is_placeholder(service.source)  # then it ends at once, and is not tried again
    first = [
        *(_address_steps(service.source) if lacks else ()),
        f"{kit} bundle trust clinic.pub --home {STATE}",
        f"{kit} bundle install small.kit --home {STATE}",
    ]
    start = systemctl_start()
    if started:
        start = start[-1:] if lacks else []
    return [*first, *(f"sudo {shlex.join(words)}" for words in start), f"journalctl -u {UNIT} -f"]


def _address_steps(scheme: str) -> Sequence[str]:
    # An editor, not echo: a password is not for the shell's history either.
    return (
        f"sudo touch {SECRETS} && sudo chmod 600 {SECRETS}",
        f"sudoedit {SECRETS}    # a line {address.VARIABLE}={scheme}//user:password@host/path",
    )


def perform(steps: Sequence[Step], say: Callable[[str], None], run: Runner | None = None) -> None:
    """Take the steps, in order; stops at the first that fails.

    Args:
        steps: Of `install` or `uninstall`.
        say: Told each step as it begins.
        run: Runs a command, returns its exit code.

    Raises:
        KitError: A command failed; taking the same steps again is safe.
        StorageError: A file can't be written or removed.
    """
    for step in steps:
        say(str(step).splitlines()[0])
        if isinstance(step, Run):
            _run(step, run or _really)
        elif isinstance(step, Write):
            atomic.write_text(step.path, step.text)
            step.path.chmod(0o644)
        else:
            _remove(step.path)


def _run(step: Run, run: Runner) -> None:
    code = run(step.words)
    if code:
        hint = f". Perhaps: {step.advice}" if step.advice else ""
        raise KitError(f"exit code {code}: {shlex.join(step.words)}{hint}")


def _really(words: Sequence[str]) -> int:
    try:
        return subprocess.run(words, check=False).returncode
    except OSError as error:
        raise KitError(f"{words[0]} can't be run: {error.strerror}") from error


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path} can't be removed: {error.strerror}") from error
