"""A check -> one self-contained HTML page with pictures of the problems, and `check.json`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dermedge import __version__, atomic, contract, page
from dermedge.table import MADE_UP, SPLITS
from dermtrain import inventory
from dermtrain.check import KINDS, UNREADABLE, Check, Finding, describe

PAGE, FIGURES = "check.html", "check.json"
# The page shows so many findings of a kind and photographs of a finding; check.json has them all.
FINDINGS, PICTURES = 24, 6
_LINES = 5  # of each kind on a terminal
_THUMBNAIL, _QUALITY = 160, 70
# Okabe & Ito 2008: told apart with every kind of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#A0326E", "#59636e")


def as_dict(checked: Check) -> dict[str, Any]:
    """What `check.json` holds."""
    table, rows = checked.table, checked.table.rows
    return {
        "table": str(table.source),
        "photographs": len(rows),
        "passed": not checked.errors,
        "findings": {
            kind.name: {
                "title": kind.title,
                "error": kind.error,
                "count": len(checked.of(kind)),
                "list": [
                    {
                        "about": finding.name,
                        "photographs": [
                            {
                                "image": rows[i].image,
                                "label": rows[i].label,
                                "split": rows[i].split,
                                "patient_id": rows[i].patient_id,
                                "lesion_id": rows[i].lesion_id,
                            }
                            for i in finding.rows
                        ],
                    }
                    for finding in checked.of(kind)
                ],
            }
            for kind in KINDS
        },
        "classes": inventory.classes(table),
        "groups": inventory.groups(table),
        "subgroups": inventory.subgroups(table),
        "licences": inventory.licences(table),
        "sizes": inventory.sizes(checked.scan),
        "measures": inventory.measures(checked.scan),
        "made_up": table.made_up,
        "version": __version__,
    }


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
        made_up=MADE_UP + " pictures" if table.made_up else "",
        notice=contract.NOTICE,
        version=__version__,
        source=table.source.name if table.source.is_file() else str(table.source),
        count=len(table.rows),
        errors=len(checked.errors),
        warnings=len(checked.findings) - len(checked.errors),
        verdict=_verdict(checked),
        sections=[_section(checked, kind) for kind in KINDS],
        classes=classes,
        figures=figures,
        split_names=[name for name in figures["classes"] if name != "all"],
        has_splits=any(row.split in SPLITS for row in table.rows),
        sizes=list(figures["sizes"].items()),
        plots=_plots(checked, classes),
    )


def _verdict(checked: Check) -> str:
    errors = [kind.title.lower() for kind in KINDS if kind.error and checked.of(kind)]
    others = [kind.title.lower() for kind in KINDS if not kind.error and checked.of(kind)]
    if errors:
        return f"Not to be used as it is: {', '.join(errors)}."
    if others:
        return f"Can be used; to be looked at: {', '.join(others)}."
    return "Nothing wrong was found."


def as_text(checked: Check) -> str:
    """What a terminal shows: the verdict, the counts, the first findings that are no errors."""
    table = checked.table
    lines = [f"{len(table.rows)} photographs of {table.source}: {_verdict(checked)}"]
    for name, counts in inventory.classes(table).items():
        lines.append(f"{name}: {', '.join(f'{n} {label}' for label, n in counts.items())}")
    known = {noun: n for noun, n in inventory.groups(table).items() if n}
    lines.append(", ".join(f"{n} {noun}" for noun, n in known.items()))
    lines.append(f"licence: {', '.join(inventory.licences(table))}")
    for attribute in table.attributes:
        counts = inventory.subgroups(table)[attribute]
        lines.append(
            f"{attribute}: {', '.join(f'{v} {sum(n.values())}' for v, n in counts.items())}"
        )
    for kind in KINDS:
        found = checked.of(kind)
        if found and not kind.error:
            lines.append(f"{kind.title.lower()}: {len(found)}")
            lines += [f"  {describe(table, finding)}" for finding in found[:_LINES]]
            lines += [f"  and {len(found) - _LINES} more"] if len(found) > _LINES else []
    return "\n".join(lines)


def _section(checked: Check, kind: Any) -> dict[str, Any]:
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


def _plots(checked: Check, classes: list[str]) -> list[dict[str, Any]]:
    """Title, caption and SVG element of each plot."""
    from markupsafe import Markup

    if not checked.scan.readable.any():
        return []
    # The elements are ours, and matplotlib has escaped what it was given.
    return [
        {
            "title": "Brightness",
            "caption": "Mean of red, green and blue of each photograph, as a share of its class. "
            "Where the curves lie apart, a model can tell the classes by the light alone.",
            "svg": Markup(_histogram(checked, classes)),
        },
        {
            "title": "Colour of the classes",
            "caption": "Mean red against mean blue of each photograph. Separate clouds hint at "
            "different cameras or clinics.",
            "svg": Markup(_scatter(checked, classes)),
        },
    ]


def _histogram(checked: Check, classes: list[str]) -> str:
    from dermedge.svg import canvas

    brightness = checked.scan.colours.mean(axis=1)
    edges = np.linspace(0, 255, 52).tolist()
    with canvas("Brightness of each class", _made_up(checked), (4.8, 3.6)) as (axes, svg):
        for name, members, colour in _members(checked, classes):
            style = {"histtype": "step", "linewidth": 1.8, "color": colour, "label": name}
            weights = np.full(members.sum(), 1 / members.sum())
            axes.hist(brightness[members], edges, weights=weights, **style)
        axes.set_xlabel("Brightness, 0 to 255")
        axes.set_ylabel("Share of the class")
        axes.set_xlim(0, 255)
        axes.legend()
    return svg()


def _scatter(checked: Check, classes: list[str]) -> str:
    from dermedge.svg import canvas

    random = np.random.default_rng(0)
    red, blue = checked.scan.colours[:, 0], checked.scan.colours[:, 2]
    with canvas("Colour of each class", _made_up(checked), (4.8, 3.6)) as (axes, svg):
        for name, members, colour in _members(checked, classes):
            chosen = np.flatnonzero(members)
            chosen = random.permutation(chosen)[:400]  # a page of a few hundred KB, not of MBs
            style = {"s": 9, "alpha": 0.5, "linewidths": 0, "color": colour, "label": name}
            axes.scatter(red[chosen], blue[chosen], **style)
        axes.set_xlabel("Mean red, 0 to 255")
        axes.set_ylabel("Mean blue, 0 to 255")
        axes.legend(markerscale=2)
    return svg()


def _members(checked: Check, classes: list[str]) -> list[tuple[str, Any, str]]:
    """Name, rows and colour of each class; those beyond the eighth share the last colour."""
    labels = np.array([row.label for row in checked.table.rows])
    found = []
    for place, name in enumerate(classes):
        members = checked.scan.readable & (labels == name)
        if members.any():
            found.append((name, members, _COLOURS[min(place, len(_COLOURS) - 1)]))
    return found[: len(_COLOURS)]


def _made_up(checked: Check) -> str:
    return "made-up pictures" if checked.table.made_up else ""
