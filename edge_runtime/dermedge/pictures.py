"""Pictures beside a journal: pixels only, encrypted if there is a key, bounded in size and age."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dermedge import atomic, links
from dermedge.crypt import Key
from dermedge.errors import InputError, StorageError
from dermedge.image import RGB, to_jpeg

MAX_BYTES = 500 * 1024 * 1024
MAX_DAYS = 30.0

_DAY = timedelta(days=1)
_QUALITY = 95  # JPEG: a tenth of a PNG's size and time; a judgement changes by thousandths
_STAMP = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(\d{12,})-(\d{8}T\d{12}Z)\.jpg(\.enc)?")


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept picture.

    Attributes:
        path: Its file; the name begins with the sequence of its record, which names it in turn.
        sequence: Of its record.
        time: When it was judged, UTC.
        size: Bytes.
    """

    path: Path
    sequence: int
    time: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is to be kept.

    Attributes:
        name: Of its file.
        sequence: Of the record that names it.
        time: Of the judgement, UTC.
        data: What the file will hold.
    """

    name: str
    sequence: int
    time: datetime
    data: bytes = field(repr=False)


class Pictures:
    """The folder of a journal's pictures. One process at a time: the one that holds the journal."""

    def __init__(
        self,
        folder: Path,
        key: Key | None = None,
        max_bytes: int = MAX_BYTES,
        max_days: float = MAX_DAYS,
    ) -> None:
        """Open or create the folder, only for its owner, and delete what is beyond the bounds.

        Args:
            folder: See `beside`.
            key: Encrypts every picture; None leaves them readable.
            max_bytes: Of all pictures together.
            max_days: Older ones are deleted.

        Raises:
            StorageError: It can't be written here.
        """
        self._folder, self._key = folder, key
        self._max_bytes, self._max_days = max_bytes, max_days
        with self._telling():
            links.refuse(folder)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in atomic.halves(folder):  # of a process that was killed
                left.unlink()
            self._kept = deque(find(folder))
        self._size = sum(each.size for each in self._kept)
        self.prune(datetime.now(timezone.utc))

    def take(self, image: RGB, sequence: int, time: datetime) -> Picture | None:
        """Encode one picture, and encrypt it if there is a key; nothing touches the disk yet.

        The pixels are encoded anew, so nothing else of a file comes along: no EXIF, no place.

        Args:
            image: uint8 (height, width, 3), RGB.
            sequence: Of the record that will name it.
            time: Of the judgement, UTC.

        Returns:
            What `keep` takes; None if this picture alone is beyond the bound.
        """
        stamp = time.astimezone(timezone.utc).strftime(_STAMP)
        name = f"{sequence:012d}-{stamp}.jpg{'.enc' if self._key else ''}"
        data = to_jpeg(image, _QUALITY)
        if self._key is not None:
            data = self._key.encrypt(data, name)
        return Picture(name, sequence, time, data) if len(data) <= self._max_bytes else None

    def keep(self, picture: Picture) -> None:
        """Write one, whole or not at all, and let the oldest go for it; waits for the disk.

        What goes is looked for at the oldest end alone, however many there are: what a clock that
        jumped has put elsewhere is for `prune`.

        Raises:
            StorageError: The disk is full or can't be written; the other pictures are unharmed.
        """
        size = len(picture.data)
        with self._telling():
            while self._kept and (self._is_old(self._kept[0], picture.time) or self._lacks(size)):
                self._delete(self._kept[0])
        path = self._folder / picture.name
        with atomic.private(path) as stream:
            stream.write(picture.data)
        self._kept.append(Kept(path, picture.sequence, picture.time, size))
        self._size += size

    def prune(self, now: datetime) -> None:
        """Delete every picture that is too old, then the oldest until the rest is within the bound.

        The oldest are those of the lowest sequence, whatever the clock did.

        Raises:
            StorageError: One can't be deleted.
        """
        with self._telling():
            for each in [each for each in self._kept if self._is_old(each, now)]:
                self._delete(each)
            while self._kept and self._lacks(0):
                self._delete(self._kept[0])

    def _is_old(self, each: Kept, now: datetime) -> bool:
        return (now - each.time) / _DAY > self._max_days

    def _lacks(self, room: int) -> bool:
        return self._size + room > self._max_bytes

    def _delete(self, each: Kept) -> None:
        with suppress(FileNotFoundError):
            each.path.unlink()
        self._kept.remove(each)  # at once, since it is the first, or nearly
        self._size -= each.size

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the pictures in {self._folder} can't be kept: {error.strerror or error}. "
            "Make room, choose another place, or leave out --keep-pictures."
        )


def beside(journal: Path) -> Path:
    """The folder of a journal's pictures: `NAME.pictures`."""
    return journal.with_name(f"{journal.name}.pictures")


def find(folder: Path) -> list[Kept]:
    """The pictures of a folder, those of the oldest records first; files of other names are not."""
    return sorted(_found(folder), key=lambda each: (each.sequence, each.time))


def load(path: Path, key: Key | None) -> bytes:
    """The JPEG of one kept picture.

    Raises:
        InputError: It can't be read, it is encrypted and there is no key, or another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error
    if path.suffix != ".enc":
        return data
    if key is None:
        raise InputError(f"{path} is encrypted; give the key with --key-file")
    return key.decrypt(data, path.name)


def _found(folder: Path) -> Iterator[Kept]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if not (parts := _NAME.fullmatch(path.name)):
            continue
        # A day that no calendar has is no name of ours either.
        with suppress(ValueError, FileNotFoundError):
            time = datetime.strptime(parts[2], _STAMP).replace(tzinfo=timezone.utc)
            yield Kept(path, int(parts[1]), time, path.stat().st_size)
