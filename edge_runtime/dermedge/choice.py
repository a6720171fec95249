"""Which runtime and how many threads a model is run with on this device, as measured once.

    HOME/engines/SHA256.json    one for each model, named after its .tflite file

`dermedge.tuning` measures, `kit benchmark --tune` stores, `dermedge.relay` looks it up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dermedge import atomic, engine, links
from dermedge.device import this_device

FORMAT = 1

_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and for which machine.

    Attributes:
        runtime: Distribution of the runtime, e.g. "openvino".
        threads: Threads it uses.
        median_ms: From pixels to verdict, when it was measured.
        measured: When, UTC, ISO 8601.
        cpu: Processor that it was measured on.
        cores: Cores that the process could run on.
        runtimes: Distribution and version of every runtime that was installed.
    """

    runtime: str
    threads: int
    median_ms: float
    measured: str
    cpu: str
    cores: int
    runtimes: dict[str, str]


def here(runtime: str, threads: int, median_ms: float) -> Choice:
    """A choice for this machine as it is now."""
    device = this_device()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Choice(runtime, threads, median_ms, now, device.cpu, device.cores, engine.installed())


def save(home: Path, model: str, choice: Choice) -> Path:
    """Store the choice for the model of this SHA-256; returns the file.

    Raises:
        StorageError: It can't be written, or HOME/engines is somebody else's link.
    """
    path = _file(home, model)
    text = json.dumps({"format": FORMAT, **asdict(choice)}, indent=2)
    with links.held(path.parent) as folder:
        atomic.publish_text(path, f"{text}\n", folder)
    return path


def find(home: Path, model: str) -> tuple[Choice | None, str]:
    """The choice that holds for a model on this machine as it is now.

    Returns:
        It, or None; and in words why a stored one does not hold, empty if there is none.
    """
    path = _file(home, model)
    try:
        with path.open("rb") as stream:
            choice = _parse(stream.read(_MAX_BYTES))
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, _stale(f"{path} can't be read: {error.strerror}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None, _stale(f"{path} is damaged")
    changed = _changed(choice)
    return (None, _stale(changed)) if changed else (choice, "")


def _changed(choice: Choice) -> str:
    """What is no longer as it was when it was measured; empty if nothing."""
    device, installed = this_device(), engine.installed()
    if (choice.cpu, choice.cores) != (device.cpu, device.cores):
        return (
            f"measured with {choice.cores} cores of {choice.cpu}, "
            f"here are {device.cores} of {device.cpu}"
        )
    names = sorted(
        name
        for name in choice.runtimes | installed
        if choice.runtimes.get(name) != installed.get(name)
    )
    now = (f"{name} {installed.get(name, 'is gone')}" for name in names)
    return f"measured before a runtime changed: {', '.join(now)}" if names else ""


def _stale(why: str) -> str:
    return (
        f"the chosen runtime and threads no longer hold ({why}); the defaults are used until "
        "kit benchmark BUNDLE --tune has measured again"
    )


def _parse(text: bytes) -> Choice:
    found = json.loads(text)
    if found.pop("format") != FORMAT:
        raise ValueError("format")
    choice = Choice(**found)
    kinds: dict[str, Any] = {
        **dict.fromkeys(("runtime", "measured", "cpu"), str),
        **{"threads": int, "cores": int, "median_ms": float, "runtimes": dict},
    }
    wrong = [name for name, kind in kinds.items() if type(getattr(choice, name)) is not kind]
    if wrong or choice.threads < 1 or choice.runtime not in choice.runtimes:
        raise ValueError("choice")
    return choice


def _file(home: Path, model: str) -> Path:
    return home / "engines" / f"{model}.json"
