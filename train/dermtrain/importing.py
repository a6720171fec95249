"""A public data set as it comes -> a table in the kit's own format, and a page on its choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dermedge import atomic, table
from dermedge.errors import TableError, some
from dermedge.table import Row
from dermtrain import photographs, published
from dermtrain.published import Published
from dermtrain.sources.isic_archive import LICENCES
from dermtrain.sources.source import BENIGN, MALIGNANT, Record, Source, known, slug

LABELS = ("malignancy", "diagnosis")
STORY = "SOURCE.md"
_LOWERED = frozenset({"sex", "site", "confirmed", "kind"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants of an import.

    Attributes:
        label: One of LABELS: benign and malignant, or each diagnosis a class of its own.
        malignant: Diagnoses that count as malignant, instead of the source's own choice.
        skip_missing: Leave out records whose photograph is not there.
    """

    label: str = LABELS[0]
    malignant: tuple[str, ...] = ()
    skip_missing: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """Rows ready to be written.

    Attributes:
        data: The data set.
        wish: What was asked for.
        images: The folder to which the rows' paths are relative.
        rows: One for each photograph.
        left_out: Why -> how many records.
    """

    data: Published
    wish: Wish
    images: Path
    rows: tuple[Row, ...]
    left_out: Mapping[str, int]


def gather(
    paths: Sequence[Path], images: Path | None, wish: Wish, name: str | None = None
) -> Imported:
    """Read the tables of one data set and find their photographs.

    Args:
        paths: See `published.read`.
        images: Folder that holds the photographs, at any depth; default: where the table lies.
        wish: Which labels.
        name: The format, if it is not to be recognised by the columns.

    Raises:
        TableError: Not a known format, photographs that are missing, a value that the format does
            not have, or no two classes.
    """
    if wish.label not in LABELS:
        raise TableError(f"expected the label to be {' or '.join(LABELS)}, got {wish.label!r}")
    data = published.read(paths, name)
    root = images or (paths[0] if paths[0].is_dir() else paths[0].parent)
    places = photographs.beneath(root)
    rows: dict[str, Row] = {}
    left_out, missing = Counter(), []
    for record, split in data.records:
        row = _row(data.source, wish, record, split)
        if isinstance(row, str):
            left_out[row] += 1
            continue
        found = places.find(row.image)
        if not found:
            missing.append(row.image)
            continue
        row = replace(row, image=found)
        if rows.setdefault(found, row) != row:
            raise TableError(f"{data.source.title}: two lines about {found} contradict each other")
    if missing and not wish.skip_missing:
        raise TableError(
            f"{len(missing)} of {len(data.records)} photographs are not in {root}: "
            f"{some(missing)}. Give their folder with --images, or leave them out with "
            "--skip-missing"
        )
    if missing:
        left_out["the photograph is not there"] = len(missing)
    _check_classes(data.source, wish, rows.values())
    return Imported(data, wish, root, tuple(rows.values()), left_out)


def write(imported: Imported, out: Path) -> Path:
    """Write `labels.csv` and `SOURCE.md`; the photographs stay where they are.

    If they are not beneath `out`, `images.txt` says where they are, for every later command.

    Returns:
        The table's path.

    Raises:
        StorageError: The folder can't be written.
    """
    from dermtrain.story import story

    root, target = imported.images.resolve(), out / table.TABLE
    if root != out.resolve():
        atomic.write_text(out / table.RUN_IMAGES, f"{root}\n")
    else:
        (out / table.RUN_IMAGES).unlink(missing_ok=True)  # of an earlier import
    with atomic.whole(target) as temporary:
        table.write(imported.rows, temporary)
    atomic.write_text(out / STORY, story(imported))
    return target


def _row(source: Source, wish: Wish, record: Record, split: str) -> Row | str:
    """A row whose image is the name in the table, or why there is none."""
    name = record[source.image].strip()
    reason = source.left_out(record)
    if reason:
        return reason
    try:
        diagnosis = source.diagnosis(record)
        label = _label(source, wish, record, diagnosis)
    except ValueError as error:
        raise TableError(f"{source.title}, {name}: {error}") from error
    if not label:
        return f"the {wish.label} is not known"
    given = known(record.get(source.licence_of)) if source.licence_of else ""
    return Row(
        image=name,
        label=label,
        diagnosis=diagnosis,
        patient_id=known(record.get(source.patient)),
        lesion_id=known(record.get(source.lesion)),
        split=split,
        licence=LICENCES.get(given, given) or source.licence,
        attributes={**_attributes(source, record), "source": source.name},
    )


def _label(source: Source, wish: Wish, record: Record, diagnosis: str) -> str:
    if wish.label == "diagnosis":
        return diagnosis
    if source.malignancy and not wish.malignant:
        return source.malignancy(record)
    chosen = {slug(name) for name in wish.malignant} or source.malignant
    return (MALIGNANT if diagnosis in chosen else BENIGN) if diagnosis else ""


def _attributes(source: Source, record: Record) -> dict[str, str]:
    """The known ones: `55.0` -> `55`, words in the kit's own."""
    found = {}
    for attribute, columns in source.attributes.items():
        text = next((text for c in columns if (text := known(record.get(c)))), "")
        text = text.removesuffix(".0")
        text = source.words.get(attribute, {}).get(text.lower(), text)
        if text:
            found[attribute] = text.lower() if attribute in _LOWERED else text
    return found


def _check_classes(source: Source, wish: Wish, rows: Collection[Row]) -> None:
    diagnoses = sorted({row.diagnosis for row in rows} - {""})
    strange = [name for name in wish.malignant if slug(name) not in diagnoses]
    if strange:
        raise TableError(
            f"--malignant names {', '.join(strange)}, but the table has no such diagnosis; it has "
            f"{', '.join(diagnoses) or 'none at all'}"
        )
    labels = sorted({row.label for row in rows})
    if len(labels) > 1:
        return
    found = f"only one class ({labels[0]})" if labels else f"no {wish.label} is known"
    raise TableError(
        f"{source.title}: {found}; two or more classes are needed. Its diagnoses: "
        f"{some(diagnoses) or 'none'}. --malignant says which of them count, --label whether "
        "the diagnosis or the malignancy is the class"
    )
