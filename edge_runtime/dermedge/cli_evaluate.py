"""`kit evaluate`: what one model is worth on labelled photographs."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.errors import InputError, MissingError
from dermedge.options import HOME, AllowUnsigned, Home, Images, Json, Split, Threads

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.predictions import Predictions

# Distributions add readers of other kinds of model (a training run) under the first name, and the
# writer of the full report under the second; so the edge package need not know them.
READERS, REPORTS = "dermkit.readers", "dermkit.reports"

_REPORT = "With --out. "


def evaluate(
    model: Annotated[Path, typer.Argument(help="A bundle (.kit) or a run folder.")],
    data: Annotated[
        Path | None, typer.Argument(help="Labelled photographs; a run's own by default.")
    ] = None,
    split: Split = "test",
    images: Images = None,
    threads: Threads = None,
    as_json: Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the full report; needs dermkit[train].")
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help=_REPORT + "Share of positives where it is used. [that of the set]"),
    ] = None,
    bootstrap: Annotated[
        int | None, typer.Option(min=100, help=_REPORT + "Resamples of each interval. [2000]")
    ] = None,
    corruptions: Annotated[
        bool | None,
        typer.Option(
            "--corruptions/--no-corruptions",
            help=_REPORT + "Loss under blur, noise and the like: 75 passes. [no]",
            show_default=False,
        ),
    ] = None,
    corruption_sample: Annotated[
        int | None, typer.Option(min=1, help=_REPORT + "Photographs in each pass. [100]")
    ] = None,
    views: Annotated[
        int | None, typer.Option(min=1, max=4, help=_REPORT + "Mirrored views averaged. [1]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help=_REPORT + "Of resamples, samples. [0]")
    ] = None,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
) -> None:
    """Measure one model on labelled photographs: AUC, sensitivity, specificity, calibration.

    With --out it writes the full report: report.html (one page, needs no network), figures.json and
    card.md, the model card.

    \b
    Example:
      kit evaluate runs/first
      kit evaluate small.kit photos/labels.csv --split all --json
      kit evaluate runs/first --out report --prevalence 0.02 --corruptions
    """
    from dermedge import predictions as proof
    from dermedge import progress

    options = {
        "prevalence": prevalence,
        "resamples": bootstrap,
        "corruptions": corruptions,
        "sample": corruption_sample,
        "views": views,
        "seed": seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if given and out is None:
        names = {"resamples": "bootstrap", "sample": "corruption-sample"}
        asked = ", ".join(f"--{names.get(name, name)}" for name in given)
        raise InputError(f"{asked}: for the full report only; add --out FOLDER")
    write = _writer() if out is not None else None
    bundle = _bundle(model, home, allow_unsigned)
    path = model if bundle is None else bundle.path
    with progress.drawn() as draw:
        if write is not None:
            predictions = write(path, data, split, images, out, threads, draw, **given)
        elif bundle is None:
            predictions = _predict_run(model, data, split, images, draw)
        else:
            predictions = _predict(bundle, data, split, images, threads, draw)
    figures = proof.figures_of(predictions) if predictions.contract.positive else None
    if as_json:
        print(json.dumps(proof.as_json(model, split, predictions, figures), indent=2))
    else:
        print(_text(predictions, figures))
    made_up = proof.made_up(predictions)
    if not as_json or out is not None:
        notice = f"{made_up and made_up.capitalize() + '. '}{predictions.contract.notice}"
        print(notice, file=sys.stderr)
    if out is not None:
        print(f"Report: {out / 'report.html'}", file=sys.stderr)


def _text(predictions: Predictions, figures: Any) -> str:
    from dermedge import predictions as proof
    from dermedge import summary

    own = summary.figures_table(figures or proof.top_figures_of(predictions))
    if not figures or len(predictions.contract.labels) == 2:
        return own
    return f"{own}\n\n{summary.classes_table(proof.class_figures_of(predictions))}"


def _writer() -> Any:
    """The writer of the full report, from the package that has it.

    Raises:
        MissingError: It isn't installed.
    """
    writers = list(metadata.entry_points(group=REPORTS))
    if not writers:
        raise MissingError("the full report needs more; run: pip install 'dermkit[train]'")
    return writers[0].load()


def _bundle(model: Path, home: Path, allow_unsigned: bool) -> Bundle | None:
    """The bundle that was named; None if it is a run."""
    from dermedge import slots

    if model.is_dir() and str(model) != slots.INSTALLED:
        return None
    return slots.open_named(model, home, allow_unsigned)[0]


def _predict_run(
    model: Path, data: Path | None, split: str, images: Path | None, draw: Any
) -> Predictions:
    """Predict with a run, through the package that can read it."""
    readers = list(metadata.entry_points(group=READERS))
    if not readers:
        raise InputError(f"{model} is a folder: a run is read by dermkit[train], a bundle here")
    return readers[0].load()(model, data, split, images, draw)


def _predict(
    bundle: Bundle,
    data: Path | None,
    split: str,
    images: Path | None,
    threads: int | None,
    draw: Any,
) -> Predictions:
    from dermedge import predictions as proof
    from dermedge import table
    from dermedge.diagnose import Diagnostician

    if data is None:
        raise InputError("a bundle brings no photographs: kit evaluate BUNDLE DATA")
    part = table.read(data, images).part_or_all(split)
    return proof.predict(Diagnostician(bundle, threads), part, draw)
