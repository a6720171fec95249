"""Links that somebody else has planted, so that we write where they themselves may not."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermedge.errors import StorageError

# Of `os.open`: never through a link. Windows has no such thing, and no such links.
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)

_OPEN = 0o755


def refuse(*paths: Path) -> None:
    """Refuse links that belong to neither root nor us, as the kernel does in /tmp.

    A service may own the folder into which root installs its models: a link in there could have
    root overwrite, or delete, anything. Links of root's own, to a larger disk perhaps, are fine.

    This is a look, for an early and clear refusal: a link may be planted right after it. Who then
    writes into such a folder holds it, see `held`; who opens a file there does so with NOFOLLOW.

    Raises:
        StorageError: One is such a link.
    """
    if not hasattr(os, "geteuid"):  # Windows
        return
    for path in paths:
        if path.is_symlink():
            _refuse_of(path, path.lstat())


def share(folder: Path) -> None:
    """Make a folder that all may enter whatever the umask; one that is there keeps its rights.

    Its name, too, must be one that only root or we can change; for others see `held`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _make(folder):
        with suppress(PermissionError):  # a file system without rights
            folder.chmod(_OPEN)


@contextmanager
def held(folder: Path) -> Iterator[int | None]:
    """Make and open a folder that others may put a link in the place of, at any moment.

    What is then done by its descriptor is done in that very folder, wherever its name leads by
    then; the kernel sees to that. The folder that holds it must be reached by names that only root
    or we can change, as /var/lib/dermkit is.

    One that is made may be entered by all, whatever the umask; one that is there keeps its rights.

    Yields:
        The descriptor, for `dir_fd`; None on Windows.

    Raises:
        StorageError: It is a link that belongs to neither root nor us, or can't be opened.
    """
    if not hasattr(os, "geteuid"):
        yield None
        return
    try:
        share(folder.parent)
        made = _make(folder)
        descriptor = _open(folder)
    except OSError as error:
        raise StorageError(f"{folder} could not be written: {error.strerror}") from error
    try:
        if made:
            with suppress(PermissionError):
                os.fchmod(descriptor, _OPEN)
        yield descriptor
    finally:
        os.close(descriptor)


def _make(folder: Path) -> bool:
    """Whether it was not there."""
    try:
        folder.mkdir()
    except OSError:  # of one that is there, too, some systems say first that we may not
        if not folder.exists():
            raise
        return False
    return True


def _open(folder: Path) -> int:
    if sys.platform != "linux":  # no service of ours owns a folder there
        refuse(folder)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    entry = os.open(folder, os.O_PATH | NOFOLLOW)  # what has the name now, a link itself
    try:
        found = os.fstat(entry)
        if not stat.S_ISLNK(found.st_mode):
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=entry)
        _refuse_of(folder, found)
        leads = folder.parent / os.readlink("", dir_fd=entry)
        return os.open(leads, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(entry)


def _refuse_of(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise StorageError(
            f"{path} is a link that another user has made; look where it leads, and remove it"
        )
