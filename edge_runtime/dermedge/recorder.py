"""Judgements into a journal, with the picture of each if it is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from dermedge import pictures, record
from dermedge.closing import Closing
from dermedge.crypt import Key
from dermedge.errors import StorageError
from dermedge.hand import Hand
from dermedge.image import RGB
from dermedge.pictures import Pictures
from dermedge.record import Journal

TIDY_S = 3600.0  # between two looks for pictures that are too old


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
    """An open journal and, beside it, the pictures; a context manager.

    Whoever judges waits for no disk, unless the picture before is still on its way there. So a kill
    costs one picture at most: its record then names a file that isn't there.
    """

    def __init__(
        self, path: Path, max_bytes: int = record.MAX_BYTES, keep: Keep | None = None
    ) -> None:
        """Open or create both; see `Journal` for how it is synced.

        Args:
            path: The journal's newest file.
            max_bytes: Of the journal's files together.
            keep: Without it, no picture is kept.

        Raises:
            StorageError: They can't be written here, or another process is writing the journal.
        """
        self._pictures: Pictures | None = None
        self._hand = Hand("dermedge-pictures")
        self._journal = Journal(path, max_bytes, background=True)
        self._tidied = time.monotonic()
        if keep is None:
            return
        try:
            # Only now: whoever holds the journal may tidy its pictures.
            folder = pictures.beside(path)
            self._pictures = Pictures(folder, keep.key, keep.max_bytes, keep.max_days)
        except StorageError:
            self._journal.close()
            raise

    def add(self, judgement: Mapping[str, Any], image: RGB, moment: datetime) -> dict[str, Any]:
        """Record one judgement.

        Its picture is begun first: what a kill leaves is rather a picture without a record, which
        goes when its time comes.

        Args:
            judgement: As JSON.
            image: What was judged, uint8 (height, width, 3), RGB.
            moment: Of the judgement, UTC.

        Returns:
            The record as written: with `sequence`, and `picture` if they are kept.

        Raises:
            StorageError: The disk is full or can't be written; earlier records are unharmed. If it
                was a picture alone, this one or the one before, this judgement is recorded too.
        """
        if self._pictures is None:
            return self._journal.append(judgement)
        try:
            self.tidy()
            picture = self._pictures.take(image, self._journal.sequence + 1, moment)
            if picture is not None:
                self._hand.begin(partial(self._pictures.keep, picture))
        except StorageError:
            self._journal.append({**judgement, "picture": None})  # of the two, the record matters
            raise
        return self._journal.append({**judgement, "picture": picture.name if picture else None})

    def tidy(self) -> None:
        """Let pictures go whose time has come: once an hour; all other calls cost nothing.

        For every turn of a loop, also while there is no camera, or nothing to record.

        Raises:
            StorageError: A picture could not be written or deleted.
        """
        if self._pictures is None:
            return
        self._hand.look()
        now = time.monotonic()  # the clock may jump, and the ages with it
        if now - self._tidied >= TIDY_S:
            self._tidied = now
            self._hand.begin(partial(self._pictures.prune, datetime.now(timezone.utc)))

    def close(self) -> None:
        """Write what is on its way, sync and close the journal.

        Raises:
            StorageError: The last picture could not be written, or the last lines not be synced.
        """
        try:
            self._hand.close()
        finally:
            self._journal.close()
