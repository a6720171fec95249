"""A refusal of the operating system, in words: what was refused, whose it is, and what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# What is wrong is the name that was given: it is too long, or in a place such as /proc, where
# nothing can be made.
_OF_NAMES = {errno.ENAMETOOLONG, errno.ENOENT}
_SHOWN = 100  # signs of a name


def in_words(error: OSError) -> str | None:
    """One line for people; None unless it is of a name that they gave."""
    if isinstance(error, PermissionError):
        return explain(error)
    if error.errno not in _OF_NAMES or not isinstance(error.filename, str | bytes):
        return None
    name = os.fsdecode(error.filename)
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    return f"{shown}: {error.strerror}; choose another name or folder"


def explain(error: PermissionError) -> str:
    """One line for people."""
    said = error.strerror or "Permission denied"
    if not isinstance(error.filename, str | bytes):
        return f"{said}; run it as a user who may"
    path = Path(os.fsdecode(error.filename))
    return f"{path}: {said}{_whose(_barrier(path))}; run it as a user who may, or change that"


def _barrier(path: Path) -> Path:
    """What lets nobody through: a folder that leads there, else the path itself."""
    above = reversed(path.absolute().parents)
    return next((each for each in above if not os.access(each, os.X_OK)), path)


def _whose(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:  # to be made, perhaps
        return ""
    return f". {path} belongs to {_name(found.st_uid)} ({stat.filemode(found.st_mode)})"


def _name(user: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(user).pw_name
    except (ImportError, KeyError):  # Windows; a user of another machine
        return f"user {user}"
