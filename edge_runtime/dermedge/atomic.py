"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dermedge import links
from dermedge.errors import StorageError

_NO_ROOM = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    # A file where a folder is meant, or the other way round.
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
}


@contextmanager
def whole(target: Path, folder: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `target`; move it into place only if the body succeeds.

    The bytes are synced before the move, so a power cut leaves the old file or the new one.

    Args:
        target: The file.
        folder: Descriptor of its folder, as of `dermedge.links.held`; all is done by it, and the
            temporary path is relative to it. None: by the names in `target`.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    # The ending stays, since numpy, matplotlib and h5py look at it.
    # By chance, since whoever may write there too could put a link where a known name leads.
    name = f".{target.stem}.{secrets.token_hex(8)}.tmp{target.suffix}"
    temporary, final = target.with_name(name), target
    if folder is not None:
        temporary, final = Path(name), Path(target.name)
    try:
        if folder is None:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # It may have been exchanged for a link to a device, of which even opening it asks much.
        _sync(os.open(temporary, os.O_RDONLY | links.NOFOLLOW, dir_fd=folder))
        os.replace(temporary, final, src_dir_fd=folder, dst_dir_fd=folder)
        _sync(os.open(target.parent, os.O_RDONLY) if folder is None else os.dup(folder))
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageError(
                f"{target} could not be written: {error.strerror}. Nothing was left behind; "
                "make room or choose another folder, then run the command again."
            ) from error
        raise
    finally:
        with suppress(OSError):  # most often it has been moved; never hide the error above
            os.unlink(temporary, dir_fd=folder)


@contextmanager
def stream(target: Path, rights: int = 0o666, folder: int | None = None) -> Iterator[BinaryIO]:
    """Yield a stream into `target`; whole or not at all. What was written can be read back from it.

    Args:
        target: The file.
        rights: Who may read and write it, less the umask.
        folder: As of `whole`.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL  # what is there already is not opened, link or not
    with whole(target, folder) as temporary:
        descriptor = os.open(temporary, flags, rights, dir_fd=folder)
        with os.fdopen(descriptor, "w+b") as opened:
            yield opened


def halves(folder: Path, stem: str = "*") -> Iterator[Path]:
    """Temporary files of `whole` in a folder, which a killed command left if none is at work.

    Args:
        folder: It need not be there.
        stem: Of the targets; a glob pattern.
    """
    return iter(folder.glob(f".{stem}.*.tmp*"))


def private(target: Path) -> AbstractContextManager[BinaryIO]:
    """As `stream`, into a file that only its owner may read."""
    return stream(target, 0o600)


@contextmanager
def public(target: Path, folder: int | None = None) -> Iterator[BinaryIO]:
    """As `stream`, into a file that everybody may read whatever the umask.

    What root installs is read by a service that is not root.
    """
    with stream(target, folder=folder) as opened:
        with suppress(AttributeError, PermissionError):  # Windows; a file system without rights
            os.fchmod(opened.fileno(), 0o644)
        yield opened


def copy(source: Path, target: Path) -> None:
    """Copy a file to `target`, whole or not at all."""
    with whole(target) as temporary:
        shutil.copyfile(source, temporary)


def write_bytes(target: Path, data: bytes, folder: int | None = None) -> None:
    """Write `data` to `target`, whole or not at all; `folder` as of `whole`."""
    with stream(target, folder=folder) as opened:
        opened.write(data)


def write_text(target: Path, text: str, folder: int | None = None) -> None:
    """Write `text` to `target` as UTF-8, whole or not at all; `folder` as of `whole`."""
    write_bytes(target, text.encode(), folder)


def publish_text(target: Path, text: str, folder: int | None = None) -> None:
    """Write `text` to `target` as `write_text`, for everybody to read: as of `public`."""
    with public(target, folder) as opened:
        opened.write(text.encode())


def _sync(descriptor: int) -> None:
    """And close it."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
