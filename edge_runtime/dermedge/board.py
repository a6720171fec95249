"""What slows a small board down: its power supply, its heat, its processor's governor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dermedge.ask import ask
from dermedge.finding import Finding

# Bits of `vcgencmd get_throttled`: Raspberry Pi documentation, "vcgencmd", get_throttled. The same
# bits shifted by 16 tell what has happened since the board was started.
_UNDER_VOLTAGE = 1 << 0
_THROTTLING = {
    1 << 1: "frequency capped",
    1 << 2: "throttled",
    1 << 3: "at its soft temperature limit",
}
_PAST = 16

_SUPPLY = "use the board's own power supply: 5 V, 3 A for a Pi 4, 5 A for a Pi 5; a short cable"
_AIR = "give it air: a heat sink or a fan, out of a closed case"
_WARM_C, _HOT_C = 70.0, 80.0  # a Raspberry Pi slows down from 80 degrees on
_GOVERNORS = "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
_FAST = {"performance", "schedutil"}


def examine(root: Path = Path("/")) -> Sequence[Finding]:
    """Look at the board.

    Args:
        root: Where /sys lies.
    """
    return (
        check_power(throttled(root)),
        check_temperature(temperature(root)),
        check_governor(governors(root)),
    )


def check_power(bits: int | None) -> Finding:
    """Under-voltage and throttling, now and since the start; `bits` as `throttled` reads them."""
    if bits is None:
        return Finding("power", "not known: only a Raspberry Pi tells")
    for when, shift, fault in (("now", 0, True), ("since the start", _PAST, False)):
        seen = bits >> shift
        words = ["under-voltage"] if seen & _UNDER_VOLTAGE else []
        words += [name for bit, name in _THROTTLING.items() if seen & bit]
        if words:
            # Too little voltage caps the frequency too: then the supply is what has to be mended.
            mend = _SUPPLY if seen & _UNDER_VOLTAGE else _AIR
            fault = fault or bool(seen & _UNDER_VOLTAGE)
            return Finding("power", f"{', '.join(words)} {when} ({bits:#x})", mend, fault)
    return Finding("power", "enough, and not throttled since the start")


def check_temperature(celsius: float | None) -> Finding:
    """The hottest sensor, degrees Celsius."""
    if celsius is None:
        return Finding("temperature", "not known")
    says = f"{celsius:.0f} °C"
    if celsius < _WARM_C:
        return Finding("temperature", says)
    return Finding("temperature", f"{says}; it slows down at 80 °C", _AIR, celsius >= _HOT_C)


def check_governor(found: Sequence[str]) -> Finding:
    """How the kernel picks the processor's frequency; powersave is a fault, it stays at the lowest.

    The others that are named are slow to rise, so each frame of a slow source takes longer.
    """
    slow = [name for name in found if name not in _FAST]
    if not found or not slow:
        return Finding("governor", ", ".join(found) or "not known")
    mend = f"echo performance | sudo tee /{_GOVERNORS}"
    return Finding("governor", ", ".join(found), mend, "powersave" in slow)


def throttled(root: Path) -> int | None:
    """The bits of `vcgencmd get_throttled`; None if this is no Raspberry Pi."""
    said = ask("vcgencmd", "get_throttled")  # throttled=0x50005
    if said is None:
        # Root's tool may be absent; the firmware's driver shows the same number.
        found = _texts(root, "sys/devices/platform/soc/soc:firmware/get_throttled")
        said = f"0x{found[0]}" if found else ""
    try:
        return int(said.rpartition("=")[2], 16)
    except ValueError:
        return None


def slowed(bits: int | None) -> bool | None:
    """Whether power or heat slows the board down now; `bits` as `throttled` reads them."""
    return None if bits is None else bool(bits & ((1 << _PAST) - 1))


def temperature(root: Path) -> float | None:
    """Degrees Celsius of the hottest zone; None where the kernel shows none."""
    texts = _texts(root, "sys/class/thermal/thermal_zone*/temp")
    degrees = [int(text) / 1000 for text in texts if text.lstrip("-").isdigit()]
    return max(degrees, default=None)


def governors(root: Path) -> Sequence[str]:
    """The governors in use, each named once."""
    return sorted(set(_texts(root, _GOVERNORS)))


def _texts(root: Path, pattern: str) -> list[str]:
    found = []
    for path in sorted(root.glob(pattern)):
        try:
            found.append(path.read_text(encoding="utf-8", errors="replace").strip())
        except OSError:  # a sensor that sleeps
            continue
    return found
