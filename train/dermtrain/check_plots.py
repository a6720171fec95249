"""A check -> its plots, each one SVG element for a page (needs the report extra)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dermedge.table import MADE_UP
from dermtrain.check import Check

# Okabe & Ito 2008: told apart with every kind of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#A0326E", "#59636e")


def plots(checked: Check, classes: list[str]) -> list[dict[str, Any]]:
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
            "caption": "Mean red against mean blue, at most 400 photographs of a class. Separate "
            "clouds hint at different cameras or clinics.",
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
    return f"{MADE_UP} pictures" if checked.table.made_up else ""
