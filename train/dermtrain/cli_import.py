"""`kit data import` and `kit data pull`: public data sets as they come -> the kit's own table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermedge.errors import InputError

if TYPE_CHECKING:
    from dermtrain.importing import Imported

_ARCHIVE = "https://api.isic-archive.com/api/v2/"

Label = Annotated[
    str, typer.Option(help="malignancy (benign, malignant) or diagnosis (each a class).")
]
Malignant = Annotated[
    str, typer.Option(help="Diagnoses that count as malignant, NAME[,NAME], if not the usual.")
]


def import_command(
    source: Annotated[
        list[Path], typer.Argument(help="Tables as published, a folder of them, or class folders.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for labels.csv and SOURCE.md.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photographs, at any depth.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Name it, if the columns do not tell.")
    ] = None,
    label: Label = "malignancy",
    malignant: Malignant = "",
    skip_missing: Annotated[
        bool, typer.Option(help="Leave out photographs that are not there.")
    ] = False,
) -> None:
    """Read a public data set as it comes; its photographs stay where they are.

    Knows by their columns: isic2016, isic2017, isic2018, isic2019, isic2020, isic-archive,
    ham10000, pad-ufes-20, fitzpatrick17k, ddi; and class-folders. Give metadata tables and lesion
    groupings beside the labels. SOURCE.md says what counts as malignant, and why, and the licence.

    \b
    Example:
      kit data import HAM10000_metadata.csv --images ham/ --out data/ham
      kit data import GroundTruth.csv LesionGroupings.csv --images jpegs/ --out data/isic2018
      kit data import metadata.csv --images imgs/ --out data/pad --label diagnosis
    """
    from dermtrain import importing

    wish = importing.Wish(label, _names(malignant), skip_missing)
    imported = importing.gather(source, images, wish, format_)
    target = importing.write(imported, out)
    _say(imported, target)


def pull_command(
    archive: Annotated[str, typer.Argument(help="The archive: isic.")],
    out: Annotated[Path, typer.Option(help="Folder; run again to go on.")],
    collection: Annotated[
        list[int] | None, typer.Option(help="Number of a collection; give it again for more.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole archive, instead of collections.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many photographs; 0: all.")] = 0,
    connections: Annotated[int, typer.Option(min=1, max=8, help="Downloads at a time.")] = 4,
    label: Label = "malignancy",
    malignant: Malignant = "",
    base: Annotated[str, typer.Option(help="Address of the API.")] = _ARCHIVE,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds of the first pause after a failure.")
    ] = 1.0,
) -> None:
    """Download photographs with their metadata, and write the kit's own table.

    Every file is checked by size, and by SHA-256 when the command is run again: it goes on where
    it stopped. Waits when the archive asks to. Needs isic-cli: pip install 'dermkit[isic]'.

    \b
    Example:
      kit data pull isic --collection 212 --out data/212
      kit data pull isic --collection 65 --limit 100 --out data/try
    """
    from dermedge import progress
    from dermtrain import importing, pull
    from dermtrain.archive import Query

    if archive != "isic":
        raise InputError(f"unknown archive {archive!r}; known: isic")
    if bool(collection) == everything:
        raise InputError("give collections with --collection, or --all for the whole archive")
    wish = importing.Wish(label, _names(malignant))
    address = base if base.endswith("/") else f"{base}/"
    query = Query(tuple(collection or ()), address, limit, patience)
    with progress.drawn() as draw:
        held = pull.pull(query, out, connections, draw)
    fetched = sum(one.fetched for one in held)
    print(f"{len(held)} photographs in {out / pull.IMAGES}, {fetched} of them fetched now")
    imported = importing.gather([out / pull.METADATA], out, wish, "isic-archive")
    _say(imported, importing.write(imported, out))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _say(imported: Imported, target: Path) -> None:
    from dermtrain.inventory import counted

    labels = counted(row.label for row in imported.rows)
    shown = ", ".join(f"{name} {count}" for name, count in list(labels.items())[:8])
    more = f" and {len(labels) - 8} more classes" if len(labels) > 8 else ""
    print(f"{imported.data.source.title}: {len(imported.rows)} photographs ({shown}{more})")
    for reason, count in imported.left_out.items():
        print(f"left out: {count} ({reason})")
    for what in imported.data.lacking:
        print(f"not given: the table with {what}")
    print(f"{target}; choices and licence: {target.with_name('SOURCE.md')}")
