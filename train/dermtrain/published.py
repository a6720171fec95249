"""The tables of one data set, as published -> which data set it is, and its records joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dermedge.errors import TableError
from dermtrain import listing, sources
from dermtrain.listing import Listing
from dermtrain.sources.source import Record, Source

_SPLITS = {"training": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Published:
    """One data set.

    Attributes:
        source: Which it is.
        listings: The tables that were read, companions last.
        records: Each line with what the companions add to it, and its official split.
        lacking: What a companion that was not given would have added.
    """

    source: Source
    listings: tuple[Listing, ...]
    records: tuple[tuple[Record, str], ...]
    lacking: tuple[str, ...]


def read(paths: Sequence[Path], name: str | None = None) -> Published:
    """Read the tables of one data set.

    Args:
        paths: Its tables and their companions in any order, a folder that holds them, or a folder
            of class folders.
        name: The format, if it is not to be recognised by the columns.

    Raises:
        TableError: No known format, several at once, or a table that does not belong to it.
    """
    given = _listings(paths, name)
    source = sources.named(name) if name else _recognised(given)
    mains = tuple(table for table in given if source.columns <= frozenset(table.columns))
    others = tuple(
        table for table in given if table not in mains and sources.companion(source, table.columns)
    )
    strange = [table.path for table in given if table not in mains and table not in others]
    if strange or not mains:
        raise TableError(
            f"{(strange or [paths[0]])[0]} is not a table of {source.name}: expected the columns "
            f"{', '.join(sorted(source.columns))}"
        )
    lacking = tuple(
        companion.adds
        for companion in source.companions
        if not any(companion.columns <= frozenset(table.columns) for table in others)
    )
    return Published(source, (*mains, *others), _join(source, mains, others), lacking)


def _listings(paths: Sequence[Path], name: str | None) -> list[Listing]:
    """Every table given; of a folder, those that some source knows, else its class folders."""
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(listing.read(path))
            continue
        inside = []
        if name != sources.CLASS_FOLDERS.name:
            inside = [listing.read(table) for table in sorted(path.glob("*.csv"))]
            inside = [table for table in inside if _is_known(table)]
        found += inside or [listing.read_class_folders(path)]
    return found


def _is_known(table: Listing) -> bool:
    return sources.recognised(table.columns) is not None or any(
        sources.companion(source, table.columns) for source in sources.SOURCES
    )


def _recognised(given: Sequence[Listing]) -> Source:
    found = {s.name: s for table in given if (s := sources.recognised(table.columns))}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise TableError(
            f"tables of several data sets: {', '.join(sorted(found))}; import one after the other"
        )
    raise TableError(
        f"{given[0].path}: no known data set has the columns {', '.join(given[0].columns[:12])}; "
        f"known: {', '.join(source.name for source in sources.SOURCES)}"
    )


def _join(
    source: Source, mains: Sequence[Listing], others: Sequence[Listing]
) -> tuple[tuple[Record, str], ...]:
    further: dict[str, dict[str, str]] = {}
    for table in others:
        companion = sources.companion(source, table.columns)
        for record in table.records if companion else ():
            further.setdefault(record[companion.image].strip(), {}).update(record)
    joined = []
    for table in mains:
        split = _split_of(source, table.path, len(mains))
        for record in table.records:
            more = further.get(record[source.image].strip(), {})
            joined.append(({**more, **record}, split))
    return tuple(joined)


def _split_of(source: Source, path: Path, tables: int) -> str:
    """The official split that the name of a file tells, if several parts were given."""
    if not source.official_splits or tables < 2:
        return ""
    return next((split for word, split in _SPLITS.items() if word in path.name.lower()), "")
