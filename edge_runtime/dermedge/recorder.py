"""Judgements into a journal, with the picture of each if it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dermedge import pictures, record
from dermedge.closing import Closing
from dermedge.crypt import Key
from dermedge.errors import StorageError
from dermedge.image import RGB
from dermedge.pictures import Pictures
from dermedge.record import Journal


@dataclass(frozen=True, slots=True)
class Keep:
    """How pictures are kept.

    Attributes:
        key: Encrypts every picture; None leaves them readable.
        max_bytes: Of all pictures together.
        max_days: Older ones are deleted.
    """

    key: Key | None = None
    max_bytes: int = pictures.MAX_BYTES
    max_days: float = pictures.MAX_DAYS


class Recorder(Closing):
    """An open journal and, beside it, the pictures; a context manager."""

    def __init__(
        self, path: Path, max_bytes: int = record.MAX_BYTES, keep: Keep | None = None
    ) -> None:
        """Open or create both; the camera doesn't wait for the disk, see `Journal`.

        Args:
            path: The journal's newest file.
            max_bytes: Of the journal's files together.
            keep: Without it, no picture is kept.

        Raises:
            StorageError: They can't be written here, or another process is writing the journal.
        """
        self._pictures: Pictures | None = None
        self._journal = Journal(path, max_bytes, background=True)
        if keep is None:
            return
        try:
            # Only now: whoever holds the journal may tidy its pictures.
            folder = pictures.beside(path)
            self._pictures = Pictures(folder, keep.key, keep.max_bytes, keep.max_days)
        except StorageError:
            self._journal.close()
            raise

    def add(self, judgement: Mapping[str, Any], image: RGB, time: datetime) -> dict[str, Any]:
        """Record one judgement.

        The picture is written first: a record never names one that isn't there yet, and what a
        kill in between leaves is a picture without a record, which goes when its time comes.

        Args:
            judgement: As JSON.
            image: What was judged, uint8 (height, width, 3), RGB.
            time: Of the judgement, UTC.

        Returns:
            The record as written: with `sequence`, and `picture` if they are kept.

        Raises:
            StorageError: The disk is full or can't be written; earlier records are unharmed. If it
                was the picture alone, this judgement is recorded too.
        """
        if self._pictures is None:
            return self._journal.append(judgement)
        try:
            name = self._pictures.save(image, self._journal.sequence + 1, time)
        except StorageError:
            self._journal.append({**judgement, "picture": None})  # of the two, the record matters
            raise
        return self._journal.append({**judgement, "picture": name})

    def close(self) -> None:
        """Sync and close the journal.

        Raises:
            StorageError: The last lines could not be synced.
        """
        self._journal.close()
