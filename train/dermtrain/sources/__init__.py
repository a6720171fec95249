"""The public formats that `kit data import` reads, and which of them a table is."""

from __future__ import annotations

from collections.abc import Iterable

from dermedge.errors import TableError
from dermtrain.sources.class_folders import CLASS_FOLDERS
from dermtrain.sources.ddi import DDI
from dermtrain.sources.fitzpatrick17k import FITZPATRICK_17K
from dermtrain.sources.ham10000 import HAM10000
from dermtrain.sources.isic2016 import ISIC_2016
from dermtrain.sources.isic2017 import ISIC_2017
from dermtrain.sources.isic2018 import ISIC_2018
from dermtrain.sources.isic2019 import ISIC_2019
from dermtrain.sources.isic2020 import ISIC_2020
from dermtrain.sources.isic_archive import ISIC_ARCHIVE
from dermtrain.sources.pad_ufes_20 import PAD_UFES_20
from dermtrain.sources.source import Companion, Source

SOURCES = (
    *(ISIC_2016, ISIC_2017, ISIC_2018, ISIC_2019, ISIC_2020, ISIC_ARCHIVE),
    *(HAM10000, PAD_UFES_20, FITZPATRICK_17K, DDI, CLASS_FOLDERS),
)


def named(name: str) -> Source:
    """The source of that name.

    Raises:
        TableError: There is none.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    raise TableError(f"unknown format {name!r}; known: {', '.join(s.name for s in SOURCES)}")


def recognised(columns: Iterable[str]) -> Source | None:
    """The source whose table has these columns, if any."""
    given = frozenset(columns)
    return next((source for source in SOURCES if source.columns <= given), None)


def companion(source: Source, columns: Iterable[str]) -> Companion | None:
    """The companion of the source that has these columns, if any."""
    given = frozenset(columns)
    return next((other for other in source.companions if other.columns <= given), None)
