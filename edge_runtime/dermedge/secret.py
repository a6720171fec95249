"""Secrets that lie in files: keys, tokens, passwords."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dermedge.errors import InputError


def read(path: Path, what: str) -> str:
    """The text of a file that not everybody may read or change.

    Args:
        path: It.
        what: What it holds, for errors, e.g. "token"; its text never enters one.

    Raises:
        InputError: It is open to everybody, it can't be read, or it is no text.
    """
    try:
        with path.open("rb") as stream:
            # Of what was opened, not of what has the name by now.
            if os.fstat(stream.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise InputError(f"the {what} {path} is open to everybody; run: chmod 600 {path}")
            return stream.read().decode("utf-8")
    except OSError as error:
        raise InputError(f"the {what} {path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} {path} can't be read: it is no text") from error
