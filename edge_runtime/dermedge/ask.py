"""Ask another program of this machine one short question."""

from __future__ import annotations

import shutil
import subprocess

_PATIENCE_S = 2.0


def ask(*command: str) -> str | None:
    """What the program prints, stripped; None if it is absent, fails or takes too long."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
