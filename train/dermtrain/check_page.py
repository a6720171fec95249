"""A check -> one self-contained HTML page with pictures of the problems, and `check.json`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from dermedge import __version__, atomic, contract, page
from dermedge.table import MADE_UP, SPLITS
from dermtrain.check import Check
from dermtrain.check_plots import plots
from dermtrain.check_words import as_dict, verdict
from dermtrain.findings import KINDS, UNREADABLE, Finding, Kind

PAGE, FIGURES = "check.html", "check.json"
# The page shows so many findings of a kind and photographs of a finding; check.json has them all.
FINDINGS, PICTURES = 24, 6
_THUMBNAIL, _QUALITY = 160, 70


def write(checked: Check, folder: Path) -> Path:
    """Write the page and the figures, each whole or not at all.

    Returns:
        The page's path.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
        StorageError: The folder can't be written.
    """
    text = render(checked)
    atomic.write_text(folder / FIGURES, json.dumps(as_dict(checked), indent=2) + "\n")
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def render(checked: Check) -> str:
    """The page's HTML; it asks for no other file and no network.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
    """
    table = checked.table
    figures = as_dict(checked)
    classes = sorted(figures["classes"]["all"], key=lambda name: -figures["classes"]["all"][name])
    return page.render(
        "check.html.j2",
        "dermtrain",
        made_up=f"{MADE_UP} pictures" if table.made_up else "",
        notice=contract.NOTICE,
        version=__version__,
        source=table.source.name if table.source.is_file() else str(table.source),
        count=len(table.rows),
        errors=len(checked.errors),
        warnings=len(checked.findings) - len(checked.errors),
        verdict=verdict(checked),
        sections=[_section(checked, kind) for kind in KINDS],
        classes=classes,
        figures=figures,
        split_names=[name for name in figures["classes"] if name != "all"],
        has_splits=any(row.split in SPLITS for row in table.rows),
        sizes=list(figures["sizes"].items()),
        plots=plots(checked, classes),
    )


def _section(checked: Check, kind: Kind) -> dict[str, Any]:
    found = checked.of(kind)
    return {
        "kind": kind,
        "count": len(found),
        "findings": [_shown(checked, finding) for finding in found[:FINDINGS]],
        "hidden": max(0, len(found) - FINDINGS),
    }


def _shown(checked: Check, finding: Finding) -> dict[str, Any]:
    table = checked.table
    pictures = []
    for number in finding.rows[:PICTURES]:
        row = table.rows[number]
        width, height = (int(n) for n in checked.scan.sizes[number])
        known = {"lesion": row.lesion_id, "patient": row.patient_id}
        pictures.append(
            {
                "name": row.image,
                "label": row.label,
                "split": row.split,
                "size": f"{width} × {height}" if width else "",  # noqa: RUF001 (typography)
                "ids": [f"{noun} {name}" for noun, name in known.items() if name],
                "data": "" if finding.kind is UNREADABLE else thumbnail(table.path(row)),
            }
        )
    hidden = len(finding.rows) - len(pictures)
    return {"about": finding.name, "pictures": pictures, "hidden": hidden}


def thumbnail(path: Path) -> str:
    """A small JPEG of a photograph as a data URI; empty if it can't be read any more."""
    try:
        with Image.open(path) as photograph:
            photograph.draft("RGB", (2 * _THUMBNAIL, 2 * _THUMBNAIL))
            small = ImageOps.exif_transpose(photograph).convert("RGB")
            small.thumbnail((_THUMBNAIL, _THUMBNAIL))
            stream = io.BytesIO()
            small.save(stream, "JPEG", quality=_QUALITY)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
