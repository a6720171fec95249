"""Deleting a journal and its pictures, while nobody writes it."""

from __future__ import annotations

from pathlib import Path

from dermedge import atomic, history, pictures
from dermedge.errors import InputError, StorageError
from dermedge.record import Journal


def files(journal: Path) -> list[Path]:
    """The files of a journal and of its pictures, those that a killed process began too.

    Raises:
        InputError: There are none.
    """
    folder = pictures.beside(journal)
    lines = [each for each in history.parts(journal) if each.is_file()]
    found = [*atomic.halves(folder), *(each.path for each in pictures.find(folder)), *lines]
    if not found:
        raise InputError(f"{journal} is not a record; kit camera --record PATH writes one")
    return found


def erase(journal: Path) -> None:
    """Delete them, the pictures first; a file of another name stays where it is.

    What a memory card has written once may lie on it for long: only pictures encrypted with a key
    that is destroyed too are gone for good.

    Raises:
        InputError: There is nothing to delete.
        StorageError: One can't be deleted, or a process is writing the journal.
    """
    files(journal)
    try:
        with Journal(journal):  # whoever writes holds it, and is not to lose the ground
            for each in files(journal):
                each.unlink(missing_ok=True)
            folder = pictures.beside(journal)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise StorageError(f"{error.filename} can't be deleted: {error.strerror}") from error
