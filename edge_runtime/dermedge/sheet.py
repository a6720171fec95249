"""A photograph beside its heat map: one picture with the verdict, a legend and the notice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dermedge import atomic, basis, heatmap, image
from dermedge.contract import MAP, Contract
from dermedge.diagnose import Diagnosis
from dermedge.errors import ImageError, InputError
from dermedge.image import RGB
from dermedge.lettering import width, write
from dermedge.window import COLOURS, NOTICE, fitted

_BOX = (560, 560)  # each of the two pictures is scaled to fit into it: width, height
_MARGIN, _BAR, _LINE = 20, 52, 26
_WORDS, _INK, _SOFT = 0.6, (20, 20, 20), (95, 95, 95)  # scale of letters; RGB
_WIDTH = 2 * _BOX[0] + 3 * _MARGIN
_RIGHT = _BOX[0] + 2 * _MARGIN  # where the second picture begins
_QUALITY = 92  # of JPEG
_NAME = 80  # letters of a photograph's name that are kept
_NO_MAP = (
    "this model gives no class-activation map, so there is no heat map; leave --heatmap out, or "
    "take a bundle that kit compress has made"
)

_Found = Diagnosis | ImageError


def each(
    judged: Iterable[tuple[Path, _Found]], folder: Path, terms: Contract
) -> Iterator[tuple[Path, _Found]]:
    """Write a sheet for each photograph, whole or not at all, for its owner to read.

    A number stands first in the name of each, so that names can't clash; only pixels come along: no
    EXIF, no place.

    Args:
        judged: Photographs and what was said of them; errors are left alone.
        folder: Made with the first sheet, if it isn't there.
        terms: The contract by which they are judged.

    Yields:
        What was judged, once its sheet is written.

    Raises:
        InputError: The model gives no class-activation map; before anything is judged.
        ImageError: A photograph has gone since it was judged.
        StorageError: The disk is full, or the folder can't be written.
    """
    if MAP not in {output.kind for output in terms.outputs}:
        raise InputError(_NO_MAP)
    for number, (path, found) in enumerate(judged, 1):
        if isinstance(found, Diagnosis):
            name = re.sub(r"[^A-Za-z0-9._-]", "_", path.stem)[:_NAME]
            drawn = draw(image.read(path), found)
            _save(folder / f"{number:04d}-{name}.jpg", drawn)
        yield path, found


def draw(photograph: RGB, found: Diagnosis) -> RGB:
    """The photograph, the same with its evidence laid over it, and how they are to be read.

    Args:
        photograph: uint8 (height, width, 3), RGB.
        found: What was said of it.

    Returns:
        uint8 (height, 1180, 3), RGB.

    Raises:
        InputError: The model gives no class-activation map.
    """
    terms = found.bundle.contract
    evidence = heatmap.evidence(found.outputs, terms)
    if evidence is None:
        raise InputError(_NO_MAP)
    shown = fitted(photograph, _BOX)
    remark, target = (
        basis.remark(terms, found.bundle.signature),
        heatmap.target(found.outputs, terms),
    )
    notes = [
        f"quality: {found.quality.verdict}",
        "the colours tell what moved this model, not where disease is",
        *([remark] if remark else []),
        NOTICE,
    ]
    top = _BAR + _MARGIN + _LINE
    foot = top + shown.shape[0] + _MARGIN
    canvas = np.full((foot + _MARGIN + _LINE * max(len(notes), 3), _WIDTH, 3), 255, np.uint8)
    canvas[:_BAR] = COLOURS[found.verdict]
    write(canvas, f"{found.decision.upper()}  {found.probability:.2f}", (_MARGIN, 36), 1.0)
    _place(canvas, shown, "the photograph", (_MARGIN, top))
    mapped = heatmap.overlay(shown, evidence, terms.input)
    _place(canvas, mapped, f"what speaks for and against {target}", (_RIGHT, top))
    for number, note in enumerate(notes):
        at = (_MARGIN, foot + _MARGIN + _LINE * number)
        write(canvas, note, at, _WORDS, _INK, _MARGIN + _BOX[0])
    _legend(canvas, target, foot)
    return canvas


def _save(target: Path, drawn: RGB) -> None:
    with atomic.private(target) as stream:
        stream.write(image.to_jpeg(drawn, _QUALITY))


def _place(canvas: RGB, picture: RGB, words: str, at: tuple[int, int]) -> None:
    left, top = at
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    write(canvas, words, (left, top - 9), _WORDS, _INK, left + _BOX[0])


def _legend(canvas: RGB, target: str, top: int) -> None:
    """Below the second picture: a bar of the colours, and what they mean."""
    end = _RIGHT + _BOX[0]
    canvas[top : top + _MARGIN, _RIGHT:end] = heatmap.legend(_BOX[0], _MARGIN)
    middle = (_RIGHT + end) // 2
    baseline = top + _MARGIN + _LINE - 4
    write(canvas, f"against {target}", (_RIGHT, baseline), _WORDS, heatmap.AGAINST, middle - 20)
    words = f"for {target}"
    left = max(middle + 20, end - width(words, _WORDS))
    write(canvas, words, (left, baseline), _WORDS, _INK, end)
    scale = f"{-heatmap.SCALE:+.0f} to {heatmap.SCALE:+.0f} log-odds"
    words = f"{scale}, grey is none; the same for every photograph"
    write(canvas, words, (_RIGHT, baseline + _LINE), _WORDS, _SOFT, end)
