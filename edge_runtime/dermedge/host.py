"""What this machine gives a program to live on: processor, memory, disk, clock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from dermedge.ask import ask
from dermedge.device import Device
from dermedge.finding import Finding

_LEAST_DISK_MIB = 200
_LEAST_MEMORY_MIB = 150  # what one diagnosis may take, with the shipped model
# Older than the kit itself: a Pi without a battery-backed clock wakes up in the past.
_KIT_YEAR = 2026


def examine(device: Device, folder: Path, root: Path = Path("/")) -> Sequence[Finding]:
    """Look at the machine.

    Args:
        device: What it is.
        folder: Whose disk is looked at.
        root: Where /proc lies.
    """
    disk = os.statvfs(folder)
    return (
        check_machine(device),
        check_memory(device.memory_mib, available(root)),
        check_disk(folder, disk.f_bavail * disk.f_frsize, bool(disk.f_flag & os.ST_RDONLY)),
        check_clock(datetime.now(timezone.utc), synchronised()),
    )


def check_machine(device: Device) -> Finding:
    """Processor, its features that matter for inference, cores, system."""
    features = " ".join(device.features) or "none that matter"
    return Finding(
        "machine", f"{device.cpu}, {device.cores} cores; features: {features}; {device.system}"
    )


def check_memory(mib: int | None, free: int | None = None) -> Finding:
    """Main memory, and what of it is free, MiB; None where it is unknown."""
    if mib is None:
        return Finding("memory", "unknown")
    if free is None:
        return Finding("memory", f"{mib} MiB")
    says = f"{mib} MiB, {free} MiB of it free"
    if free < _LEAST_MEMORY_MIB:
        return Finding(
            "memory", says, "end what takes it: ps -eo rss,comm --sort -rss | head", True
        )
    return Finding("memory", says)


def check_disk(folder: Path, free: int, read_only: bool = False) -> Finding:
    """Free bytes where the command runs, and whether anything can be written there at all."""
    says = f"{free / 2**30:.1f} GiB free in {folder}"
    if read_only:
        # The kernel does this by itself when a memory card begins to fail.
        mend = f'sudo mount -o remount,rw "$(findmnt -no TARGET -T {folder})"; see dmesg for why'
        return Finding("disk", f"{folder} is on a disk that can only be read", mend, True)
    if free < _LEAST_DISK_MIB * 2**20:
        return Finding("disk", says, f"make room, e.g.: du -xh {folder} | sort -h | tail", True)
    return Finding("disk", says)


def check_clock(now: datetime, set_by_network: bool | None) -> Finding:
    """Whether records get the right time; a record's own number is right in any case.

    Args:
        now: What the clock shows.
        set_by_network: Whether the system knows it to be right; None if it can't tell.
    """
    says = f"{now:%Y-%m-%d %H:%M} UTC"
    if now.year < _KIT_YEAR:
        return Finding("clock", f"{says}: in the past", "sudo date -s 'YYYY-MM-DD HH:MM'", True)
    if set_by_network is False:
        mend = "sudo timedatectl set-ntp true (without a network: sudo date -s 'YYYY-MM-DD HH:MM')"
        return Finding("clock", f"{says}, not synchronised", mend, True)
    return Finding("clock", f"{says}, synchronised" if set_by_network else says)


def available(root: Path) -> int | None:
    """Memory that a new program can have without swapping, MiB; None if unknown."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None


def synchronised() -> bool | None:
    """Whether the system's clock follows a time server; None if the system can't tell."""
    said = ask("timedatectl", "show", "--property", "NTPSynchronized", "--value")
    return {"yes": True, "no": False}.get(said or "")
