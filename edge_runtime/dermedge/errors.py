"""Every error that the kit raises on purpose; the command ends with its exit code and no traceback.

KitError                 1   anything else that the kit can name
|-- GateError            3   the proof failed: the small model may not stand in for the float one
|-- InputError           4   a photograph, a table, a folder or an option that can't be used
|   |-- ImageError           ... one photograph
|   `-- TableError           ... one labelled table
|-- BundleError          5   a bundle, a contract or a run folder that is broken or not understood
|-- CameraError          6   a frame source that can't be opened or has stopped
|-- MissingError         7   a package or a download that is not on this machine
|-- StorageError         8   the disk is full or can't be written
`-- Interrupted        130   Ctrl-C, or a polite kill

2 belongs to wrong usage of the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

_SHOWN = 5  # names that an error lists


class KitError(Exception):
    """What happened, where, and what to do next, in one or two lines."""

    exit_code: ClassVar[int] = 1


class GateError(KitError):
    """The figures do not allow what was asked."""

    exit_code = 3


class InputError(KitError):
    """Something that the user gave can't be used."""

    exit_code = 4


class ImageError(InputError):
    """A photograph that can't be read or is out of bounds."""


class TableError(InputError):
    """A labelled table that is wrong or contradicts itself."""


class BundleError(KitError):
    """A bundle, contract or run folder that is broken or of an unknown format."""

    exit_code = 5


class CameraError(KitError):
    """A frame source that can't be opened or has stopped."""

    exit_code = 6


class MissingError(KitError):
    """Something that has to be installed or downloaded first."""

    exit_code = 7


class StorageError(KitError):
    """The disk is full or can't be written."""

    exit_code = 8


class Interrupted(KitError):  # noqa: N818 (not an error: a wish)
    """Somebody wants the command to stop."""

    exit_code = 130

    def __str__(self) -> str:
        """One line, whatever Keras or a graph under construction has wrapped around it."""
        return "stopped; nothing was left half-written"


def some(names: Sequence[str], between: str = ",") -> str:
    """The first five names, and how many more there are: enough to find the fault by.

    Args:
        names: What is wrong, or where.
        between: What parts them: ",", or ";" for names that hold commas themselves.
    """
    shown = f"{between} ".join(names[:_SHOWN])
    end = between.strip(",")
    return shown if len(names) <= _SHOWN else f"{shown}{end} and {len(names) - _SHOWN} more"
