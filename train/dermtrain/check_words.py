"""A check in words and in figures: for a terminal, and for `check.json`."""

from __future__ import annotations

from typing import Any

from dermedge import __version__
from dermtrain import inventory
from dermtrain.check import Check, describe
from dermtrain.findings import KINDS

_LINES = 5  # findings of each kind on a terminal


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


def verdict(checked: Check) -> str:
    """May the table be used, in one sentence."""
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
    lines = [f"{len(table.rows)} photographs of {table.source}: {verdict(checked)}"]
    for name, counts in inventory.classes(table).items():
        lines.append(f"{name}: {', '.join(f'{n} {label}' for label, n in counts.items())}")
    known = {noun: n for noun, n in inventory.groups(table).items() if n}
    lines.append(", ".join(f"{n} {noun}" for noun, n in known.items()))
    lines.append(f"licence: {', '.join(inventory.licences(table))}")
    for attribute, counts in inventory.subgroups(table).items():
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
