"""`kit compare`: may the small model stand in for the float one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

_Full = Annotated[Path, typer.Argument(metavar="FLOAT", help="The full model's bundle.")]
_Small = Annotated[Path, typer.Argument(metavar="SMALL", help="The small model's bundle.")]
_Data = Annotated[
    Path, typer.Option(help="labels.csv, its folder, a run folder, or a folder of class folders.")
]
_Images = Annotated[
    Path | None, typer.Option(help="Folder of the photographs, if not beside the CSV.")
]
_Split = Annotated[str, typer.Option(help="Rows to measure on: test, val, train or all.")]
_Out = Annotated[Path, typer.Option(help="Folder for the report; made if absent.")]
_Margin = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Loss of AUC that is bearable; exit code 3 if it may be larger."
    ),
]
_Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the models. [all cores]")]
_Runs = Annotated[int, typer.Option(min=1, help="Timed runs of each model.")]
_Json = Annotated[bool, typer.Option("--json", help="The figures as JSON, and nothing else.")]


def compare(  # noqa: D301
    full: _Full,
    small: _Small,
    data: _Data,
    images: _Images = None,
    split: _Split = "test",
    out: _Out = Path("report"),
    margin: _Margin = None,
    threads: _Threads = None,
    as_json: _Json = False,
    runs: _Runs = 30,
) -> None:
    """Measure two bundles on the same photographs, on this machine, and write a report.

    \b
    kit compare float.kit small.kit --data shared/data/isic2017 --out report
    kit compare float.kit small.kit --data labels.csv --split test --margin 0.02

    The report folder gets report.html (one page, needs no network), compare.json and
    predictions.csv. With --margin it is a gate: exit code 3 if the lower 95 % bound of
    AUC(small) - AUC(float) is below -margin. Run it on the machine that will run the model:
    latencies hold for that machine only. Research software, not a medical device.
    """
    from dermedge import report
    from dermedge.bundle import open_bundle
    from dermedge.compare import Plan
    from dermedge.compare import compare as measure
    from dermedge.errors import GateError
    from dermedge.progress import drawn
    from dermedge.summary import comparison_rows, figures_table, verdict
    from dermedge.table import read

    report.require_installed()
    bundles = open_bundle(full), open_bundle(small)
    table = read(data, images)
    with drawn() as progress:
        found = measure(*bundles, table, Plan(split, threads, runs), progress)
    page = report.write(found, out, margin)
    if as_json:
        typer.echo(json.dumps(report.as_dict(found, margin)))
    else:
        typer.echo(figures_table(("float", "small"), comparison_rows(found)))
        typer.echo(f"\n{verdict(found, margin)}")
    made_up = f"{found.setting.made_up.capitalize()}. " if found.setting.made_up else ""
    typer.echo(f"{made_up}Report: {page}", err=True)
    if margin is not None and not report.passes(found, margin):
        raise GateError(f"{verdict(found, margin)} The report tells where: {page}")
