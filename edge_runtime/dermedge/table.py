"""An image table: photograph, label, patient, lesion, split; read and checked."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from dermedge.errors import TableError, some
from dermedge.image import find

TABLE, RUN_TABLE, RUN_IMAGES = "labels.csv", "split.csv", "images.txt"
SPLITS = ("train", "val", "test")
MADE_UP = "made-up"
_COLUMNS = ("image", "label", "diagnosis", "patient_id", "lesion_id", "split", "licence")
_LABELLED, _UNLABELLED = ("image", "label"), ("image",)  # columns that are needed
_OTHER_NAMES = {"group": "patient_id", "validation": "val", "valid": "val", "training": "train"}


@dataclass(frozen=True, slots=True)
class Row:
    """One photograph. Empty strings are unknown; `image` is relative to the table's root.

    `attributes` holds what else the table says (sex, age, site, skin tone, source, ...), column to
    value, unknown values left out.
    """

    image: str
    label: str
    diagnosis: str = ""
    patient_id: str = ""
    lesion_id: str = ""
    split: str = ""
    licence: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Labelled photographs beneath one folder, in the order of the file."""

    source: Path
    root: Path
    rows: tuple[Row, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({row.label for row in self.rows}))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that any row has, sorted."""
        return tuple(sorted({name for row in self.rows for name in row.attributes}))

    @property
    def made_up(self) -> bool:
        """Whether any photograph comes from `kit data synth`."""
        return any(row.diagnosis == MADE_UP for row in self.rows)

    @property
    def licences(self) -> str:
        """The licences of the photographs, or `unknown`."""
        return ", ".join(sorted({row.licence or "unknown" for row in self.rows}))

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Number of the patient of each row, else of its lesion, else one of its own; int64 (n,).

        Photographs of one patient resemble each other: to take each for a sample of its own makes
        intervals too narrow.
        """
        owners = [
            ("patient", row.patient_id)
            if row.patient_id
            else ("lesion", row.lesion_id)
            if row.lesion_id
            else ("photograph", row.image)
            for row in self.rows
        ]
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
        return np.array([numbers[owner] for owner in owners], np.int64)

    def path(self, row: Row) -> Path:
        """Where the row's photograph lies."""
        return self.root / row.image

    def part_or_all(self, split: str) -> Table:
        """The rows of one split; every row if the table has no split column at all."""
        return self.part(split) if any(row.split for row in self.rows) else self

    def part(self, split: str) -> Table:
        """The rows of one split, or of several (`val+test`); `all` keeps every row.

        Raises:
            TableError: The table has no such rows.
        """
        if split == "all":
            return self
        names = split.split("+")
        rows = tuple(row for row in self.rows if row.split in names)
        if set(names) - {row.split for row in rows}:
            found = ", ".join(sorted({row.split or "(empty)" for row in self.rows}))
            raise TableError(
                f"{self.source} has no rows in split {split!r}; its splits: {found}. Name one of "
                "them, use --split all, or give the run folder, whose own split then counts"
            )
        return Table(self.source, self.root, rows)


def read(source: Path, images: Path | None = None) -> Table:
    """Read a labelled table.

    Args:
        source: A CSV file, a folder that holds `labels.csv`, a run folder (its own split counts),
            or a folder of class folders.
        images: Folder in which the photographs lie, if not beside the CSV.

    Raises:
        TableError: No table there, a column or photograph missing, one class only, duplicate rows,
            or a path outside the folder.
    """
    if source.is_file():
        table = Table(source, images or _images_of_table(source.parent), read_rows(source))
    elif (source / RUN_TABLE).is_file():
        path = source / RUN_TABLE
        table = Table(path, images or _images_of_run(source), read_rows(path))
    elif (source / TABLE).is_file():
        path = source / TABLE
        table = Table(path, images or _images_of_table(source), read_rows(path))
    elif source.is_dir():
        table = _read_class_folders(source)
    else:
        raise TableError(f"{source}: no such file or folder")
    _check_rows(table, _LABELLED)
    _check_classes(table)
    _check_paths(table)
    return table


def read_unlabelled(source: Path) -> Table:
    """Read photographs without labels; every row's label is empty.

    Args:
        source: A folder, whose photographs are all taken, those of the folders beneath it too; or
            a CSV file with a column `image`, whose labels are not looked at.

    Raises:
        TableError: No photographs there, one that is missing, duplicate rows, or a path outside the
            folder.
    """
    if source.is_file():
        rows = tuple(replace(row, label="") for row in read_rows(source, _UNLABELLED))
        table = Table(source, _images_of_table(source.parent), rows)
    elif source.is_dir():
        names = [path.relative_to(source).as_posix() for path in find(source)]
        if not names:
            raise TableError(f"{source}: no photographs in this folder, nor in those beneath it")
        table = Table(source, source, tuple(Row(name, "") for name in names))
    else:
        raise TableError(f"{source}: no such file or folder")
    _check_rows(table, _UNLABELLED)
    _check_paths(table)
    return table


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV in the format of `labels.csv`, the attributes as further columns."""
    rows = tuple(rows)
    others = sorted({name for row in rows for name in row.attributes})
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*_COLUMNS, *others])
        for row in rows:
            known = [getattr(row, column) for column in _COLUMNS]
            writer.writerow([*known, *(row.attributes.get(name, "") for name in others)])


def check_splits(table: Table, noun: str) -> None:
    """Refuse a table in which one `patient`, or one `lesion`, lies in two splits.

    Lesion numbers may repeat from patient to patient, so they count within one patient only.

    Raises:
        TableError: With the first few of them.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for row in table.rows:
        known = row.patient_id if noun == "patient" else row.lesion_id
        if known and row.split in SPLITS:
            name = known if noun == "patient" else f"{row.patient_id} {known}".strip()
            splits[name].add(row.split)
    torn = [f"{name} ({', '.join(sorted(s))})" for name, s in splits.items() if len(s) > 1]
    if torn:
        raise TableError(
            f"{table.source}: the same {noun} in two splits, so the test would not be honest: "
            f"{some(torn)}. Mend the split column, or let the kit split anew: --resplit"
        )


def read_rows(path: Path, needed: Sequence[str] = _LABELLED) -> tuple[Row, ...]:
    """The rows of one CSV file as they stand, unchecked.

    Raises:
        TableError: Not a CSV file in UTF-8, or without a column that is needed.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [_OTHER_NAMES.get(c.strip(), c.strip()) for c in reader.fieldnames or []]
            missing = [c for c in needed if c not in columns]
            if missing:
                raise TableError(
                    f"{path}: column {' and '.join(missing)} is missing; "
                    f"found: {', '.join(columns)}"
                )
            twice = sorted(name for name, n in Counter(columns).items() if n > 1)
            if twice:
                raise TableError(f"{path}: more than one column for {', '.join(twice)}")
            reader.fieldnames = columns
            return tuple(_row(record) for record in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is not a CSV table in UTF-8: {error}") from error
    except OSError as error:
        raise TableError(f"{path} can't be read: {error.strerror or error}") from error


def _row(record: dict[str, str | None]) -> Row:
    values = {column: (record.get(column) or "").strip() for column in _COLUMNS}
    split = values["split"].lower()
    values["split"] = _OTHER_NAMES.get(split, split if split in SPLITS else values["split"])
    # A row longer than the header arrives under the name None.
    others = {c: str(v).strip() for c, v in record.items() if c and c not in _COLUMNS and v}
    return Row(**values, attributes={name: value for name, value in others.items() if value})


def _read_class_folders(folder: Path) -> Table:
    rows = [
        Row(image=path.relative_to(folder).as_posix(), label=path.relative_to(folder).parts[0])
        for path in find(folder)
        if len(path.relative_to(folder).parts) > 1
    ]
    if not rows:
        raise TableError(
            f"{folder}: expected a {TABLE}, or one folder of photographs for each class; "
            "found neither"
        )
    return Table(folder, folder, tuple(rows))


def _images_of_table(folder: Path) -> Path:
    """Beside the table, unless an import says that they stayed elsewhere."""
    return _images_of_run(folder) if (folder / RUN_IMAGES).is_file() else folder


def _images_of_run(run: Path) -> Path:
    try:
        root = Path((run / RUN_IMAGES).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{run} does not say where its photographs lie: {error}") from error
    if not root.is_dir():
        raise TableError(
            f"the photographs of {run} lay in {root}: not there. Give their folder anew"
        )
    return root


def _check_rows(table: Table, needed: Sequence[str]) -> None:
    if not table.rows:
        raise TableError(f"{table.source} has no rows")
    filled = [all(getattr(row, column) for column in needed) for row in table.rows]
    blank = [f"row {i}" for i, whole in enumerate(filled, 2) if not whole]
    if blank:
        raise TableError(f"{table.source}: {' or '.join(needed)} is empty: {some(blank)}")
    files = Counter(os.path.normpath(row.image) for row in table.rows)
    twice = [name for name, n in files.items() if n > 1]
    if twice:
        raise TableError(f"{table.source}: duplicate rows for {some(twice)}; keep one of each")


def _check_classes(table: Table) -> None:
    if len(table.classes) < 2:
        raise TableError(
            f"{table.source}: only one class ({', '.join(table.classes)}); two or more are needed"
        )


def _check_paths(table: Table) -> None:
    outside = [row.image for row in table.rows if not _inside(row.image)]
    if outside:
        raise TableError(
            f"{table.source}: paths that lead outside {table.root}: {some(outside)}. "
            "Paths are relative to the table's folder"
        )
    absent = [row.image for row in table.rows if not table.path(row).is_file()]
    if absent:
        raise TableError(f"{len(absent)} photographs are not in {table.root}: {some(absent)}")


def _inside(image: str) -> bool:
    path = PurePosixPath(os.path.normpath(image))
    return not path.is_absolute() and ".." not in path.parts
