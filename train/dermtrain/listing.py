"""Published tables -> records: CSV files as they come, with or without a header."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dermedge import image
from dermedge.errors import TableError
from dermtrain.sources import class_folders
from dermtrain.sources.isic2016 import HEADLESS

_ANSWERS = frozenset({"benign", "malignant", "0", "1", "0.0", "1.0"})


@dataclass(frozen=True, slots=True)
class Listing:
    """One table.

    Attributes:
        path: The file, or the folder of class folders.
        columns: Its column names, without blanks around them.
        records: Its lines, column -> value.
        sha256: Of the file; empty for a folder.
    """

    path: Path
    columns: tuple[str, ...]
    records: tuple[Mapping[str, str], ...]
    sha256: str = ""


def read(path: Path) -> Listing:
    """Read one CSV file.

    A first line such as `ISIC_0000000,benign` is no header (ISIC 2016): its two columns get the
    names that the source of that format knows.

    Raises:
        TableError: Not a table in UTF-8, or a line that does not fit its header.
    """
    try:
        data = path.read_bytes()
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is not a CSV table in UTF-8: {error}") from error
    except OSError as error:
        raise TableError(f"{path} can't be read: {error.strerror or error}") from error
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        raise TableError(f"{path} is empty")
    columns, body = tuple(cell.strip() for cell in lines[0]), lines[1:]
    if len(columns) == 2 and columns[1].lower() in _ANSWERS:
        columns, body = HEADLESS, lines
    odd = [line for line in body if len(line) != len(columns)]
    if odd:
        raise TableError(
            f"{path}: {len(odd)} lines do not have the {len(columns)} cells of the header, such as "
            f"{','.join(odd[0])[:80]!r}"
        )
    records = tuple(dict(zip(columns, line, strict=True)) for line in body)
    return Listing(path, columns, records, hashlib.sha256(data).hexdigest())


def read_class_folders(folder: Path) -> Listing:
    """Read a folder that holds one folder of photographs for each class.

    Raises:
        TableError: It holds none.
    """
    columns = (class_folders.IMAGE, class_folders.FOLDER)
    paths = [path.relative_to(folder) for path in image.find(folder)]
    records = tuple(
        dict[str, str](zip(columns, (path.as_posix(), path.parts[0]), strict=True))
        for path in paths
        if len(path.parts) > 1
    )
    if not records:
        raise TableError(
            f"{folder}: expected a known table, or one folder of photographs for each class; "
            "found neither"
        )
    return Listing(folder, columns, records)
