"""What machine this is: processor and its features, cores, memory, system, Python."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermedge.model import cores

# Only those that change how fast a float or an int8 model runs.
FEATURES = (
    *("sse4_1", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"),
    *("avx_vnni", "amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_BOARD = Path("/proc/device-tree/model")


@dataclass(frozen=True, slots=True)
class Device:
    """One machine.

    Attributes:
        cpu: Model name of the processor, with the board's where it has one.
        features: Instruction sets that matter for inference, in the kernel's names.
        cores: Cores that this process may run on.
        memory_mib: Main memory; None if unknown.
        system: Operating system, its version and the architecture.
        python: Version of the Python interpreter.
    """

    cpu: str
    features: tuple[str, ...]
    cores: int
    memory_mib: int | None
    system: str
    python: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def this_device() -> Device:
    """Describe the machine that runs this."""
    name, features = parse_cpuinfo(_text(_CPUINFO))
    board = _text(_BOARD).strip("\0\n ")
    cpu = name or platform.processor() or platform.machine() or "unknown processor"
    return Device(
        cpu=f"{board} ({cpu})" if board else cpu,
        features=features,
        cores=cores(),
        memory_mib=_memory(),
        system=f"{_system()}, {platform.machine()}",
        python=platform.python_version(),
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Model name and inference-relevant features from the text of /proc/cpuinfo, x86 or arm."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip().lower(), value.strip())
    name = next(
        (entries[k] for k in ("model name", "model", "hardware") if _word(entries.get(k))), ""
    )
    found = set((entries.get("flags") or entries.get("features") or "").split())
    return name, tuple(feature for feature in FEATURES if feature in found)


def _word(value: str | None) -> bool:
    """Whether this is a name: on x86, "model" is a bare number."""
    return bool(value) and not str(value).isdigit()


def _memory() -> int | None:
    for line in _text(_MEMINFO).splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
