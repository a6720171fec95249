"""Photographs of the ISIC archive -> a folder: resumable, checked, polite."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dermedge import atomic
from dermedge.errors import MissingError, StorageError, some
from dermedge.progress import Progress, silent
from dermtrain import archive
from dermtrain.archive import BASE_FIELDS, Photograph, Query
from dermtrain.parallel import mapped

if TYPE_CHECKING:
    from isic_cli.session import IsicCliSession as Session

IMAGES, METADATA, MANIFEST = "images", "metadata.csv", "manifest.jsonl"
CONNECTIONS = 4
# So many photographs may fail before the rest is not asked for any more.
_PATIENCE = 20


@dataclass(frozen=True, slots=True)
class Held:
    """A photograph and its file.

    Attributes:
        photograph: As the archive lists it.
        sha256: Of its file.
        fetched: Whether it was fetched this time.
        failure: Why it is not there; empty if it is.
    """

    photograph: Photograph
    sha256: str = ""
    fetched: bool = False
    failure: str = ""


def pull(
    query: Query, out: Path, connections: int = CONNECTIONS, progress: Progress = silent
) -> tuple[Held, ...]:
    """Fetch what is not there yet into `images/`, and write `metadata.csv`.

    A file counts as there if the manifest knows it and its size and SHA-256 still match; anything
    else is fetched anew, whole: photographs are a few MB, and two halves might be of two versions.

    Args:
        query: Which photographs.
        out: Folder.
        connections: Downloads at a time.
        progress: Told of each photograph.

    Raises:
        MissingError: isic-cli is not installed, the archive does not answer, or photographs could
            not be fetched; what was fetched stays.
        StorageError: The disk is full or will be.
    """
    folder = out / IMAGES
    for stale in atomic.halves(folder):  # of a run that was killed
        stale.unlink(missing_ok=True)
    there = _read_manifest(out / MANIFEST)
    held: list[Held] = []
    failures = 0
    with archive.session(query) as session:
        total, size = archive.count(session, query)
        _expect_room(folder, 0 if query.limit else size)
        with _manifest(out / MANIFEST) as note:
            work = partial(_hold, session, query.patience, folder, there)
            for one in mapped(work, archive.listed(session, query), connections):
                if one.fetched:
                    note(one)
                held.append(one)
                failures += bool(one.failure)
                if failures >= _PATIENCE:
                    break
                progress("photographs", len(held), max(total, len(held)))
    _refuse_failures(held)
    _write_metadata([one.photograph for one in held], out / METADATA)
    return tuple(held)


def _expect_room(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    missing = size - sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise StorageError(
            f"{folder}: {missing / 1e9:.1f} GB are still to come, {free / 1e9:.1f} GB are free; "
            "make room or choose another folder"
        )


def _hold(
    session: Session,
    patience: float,
    folder: Path,
    there: Mapping[str, tuple[int, str]],
    wanted: Photograph,
) -> Held:
    """The photograph's file, there already or fetched; or why it could not be."""
    from requests.exceptions import RequestException

    target = folder / wanted.file
    size, known = there.get(wanted.file, (0, ""))
    if known and size == wanted.size and _digest(target) == known:
        return Held(wanted, known)
    try:
        fetch = archive.persistently(patience)
        return Held(wanted, fetch(archive.download, session, wanted, target), fetched=True)
    except (archive.CutOff, RequestException) as error:
        return Held(wanted, failure=str(error))


def _digest(path: Path) -> str:
    """SHA-256 of a file, empty if there is none."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    """File -> size and SHA-256. A line that a kill cut short is passed over."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
            found[str(entry["file"])] = (int(entry["size"]), str(entry["sha256"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


@contextmanager
def _manifest(path: Path) -> Iterator[Callable[[Held], None]]:
    """Yield a function that notes a photograph, one line each, as soon as it is there."""
    torn = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as stream:
        if torn:
            stream.write("\n")

        def note(held: Held) -> None:
            photograph = held.photograph
            entry = {"file": photograph.file, "size": photograph.size, "sha256": held.sha256}
            stream.write(json.dumps(entry) + "\n")
            stream.flush()

        yield note


def _refuse_failures(held: Sequence[Held]) -> None:
    failed = [f"{one.photograph.name} ({one.failure})" for one in held if one.failure]
    if failed:
        raise MissingError(
            f"{len(failed)} of {len(held)} photographs could not be fetched: "
            f"{some(failed)}. The others are there: run the same command again "
            "to fetch what is missing"
        )


def _write_metadata(photographs: Sequence[Photograph], path: Path) -> None:
    """One line for each photograph, in the columns of isic-cli."""
    fields = sorted({field for one in photographs for field in one.metadata} - set(BASE_FIELDS))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [*BASE_FIELDS, *fields], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.metadata for one in photographs)
    atomic.write_text(path, stream.getvalue())
