"""What an import decided, for people: `SOURCE.md` beside the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dermtrain.importing import Imported


def story(imported: Imported) -> str:
    """The page as Markdown: licence, choices, labels, groups, what was left out, what was read."""
    source, rows = imported.data.source, imported.rows
    parts = [
        f"# {source.title}",
        f"{len(rows)} photographs, imported as {source.name}. They were not copied.",
        "## Licence",
        _counts(Counter(row.licence or "unknown" for row in rows)),
        f"To be cited as: {source.citation}",
        "## Choices",
        "\n".join(f"- {choice}" for choice in (*_wish(imported), *source.choices)),
        "## Labels",
        _counts(Counter(row.label for row in rows)),
        "Diagnoses beneath them:",
        _counts(Counter(f"{row.label}: {row.diagnosis or 'not named'}" for row in rows)),
        "## Groups",
        _groups(imported),
    ]
    splits = Counter(row.split for row in rows if row.split)
    if splits:
        parts += ["## Splits", "As published, told by the names of the files:", _counts(splits)]
    if imported.left_out:
        parts += ["## Left out", _counts(imported.left_out)]
    if imported.data.lacking:
        parts += [
            "## Not given",
            "\n".join(
                f"- The table with {what}: published beside this one, and worth giving."
                for what in imported.data.lacking
            ),
        ]
    parts += [
        "## Read",
        "\n".join(
            f"- {table.path.name}, {len(table.records)} lines"
            + (f", SHA-256 {table.sha256}" if table.sha256 else "")
            for table in imported.data.listings
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _wish(imported: Imported) -> list[str]:
    if imported.wish.label == "diagnosis":
        return ["The label is the diagnosis: each one is a class of its own."]
    if imported.wish.malignant:
        chosen = ", ".join(imported.wish.malignant)
        return [
            f"Malignant are {chosen}: given on the command line, instead of what is said below."
        ]
    return []


def _groups(imported: Imported) -> str:
    rows = imported.rows
    patients = {row.patient_id for row in rows if row.patient_id}
    lesions = {(row.patient_id, row.lesion_id) for row in rows if row.lesion_id}
    neither = sum(not (row.patient_id or row.lesion_id) for row in rows)
    return f"{len(patients)} patients, {len(lesions)} lesions; {neither} photographs with neither."


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"- {name}: {count}" for name, count in ordered)
