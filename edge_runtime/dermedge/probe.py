"""One fresh process, one photograph: how long until the verdict, how much memory at the peak."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

_LOADED = time.perf_counter()


def main(arguments: list[str] | None = None) -> int:
    """Judge one photograph and print one JSON line; see `dermedge.timing.cold_start`."""
    parser = argparse.ArgumentParser(prog="python -m dermedge.probe", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runtime")
    options = parser.parse_args(arguments)

    from dermedge import image
    from dermedge.bundle import open_bundle
    from dermedge.diagnose import Diagnostician
    from dermedge.errors import KitError

    try:
        judge = Diagnostician(open_bundle(options.bundle), options.threads, options.runtime)
        verdict = judge.diagnose(image.read(options.image)).verdict
    except KitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    line = {"verdict": verdict.value, "seconds": _age(), "peak_mib": _peak_mib()}
    print(json.dumps(line), flush=True)
    return 0


def _age() -> float:
    """Seconds since this process started; without /proc, since this module was loaded."""
    loaded = time.perf_counter() - _LOADED
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), after boot
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, ValueError, IndexError):
        return loaded
    return max(age, loaded)


def _peak_mib() -> float | None:
    """Largest resident set of this process; None where the system does not tell.

    Linux hands getrusage's maximum on from the parent over exec, so its own record is read there.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


if __name__ == "__main__":
    sys.exit(main())
