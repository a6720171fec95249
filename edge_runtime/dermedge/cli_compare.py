"""`kit compare`: may the small model stand in for the float one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import HOME, AllowUnsigned, Home, Images, Json, Split, Threads, finite

_Full = Annotated[Path, typer.Argument(metavar="FLOAT", help="The full model's bundle.")]
_Small = Annotated[Path, typer.Argument(metavar="SMALL", help="The small model's bundle.")]
_Data = Annotated[
    Path, typer.Option(help="Labelled photographs: a table, its folder, or a run folder.")
]
_Out = Annotated[Path, typer.Option(help="Folder for the report; made if absent.")]
_Margin = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Bearable loss of AUC: the gate. [no gate]", callback=finite),
]
_Runs = Annotated[int, typer.Option(min=1, help="Timed runs of each model.")]


def compare(
    full: _Full,
    small: _Small,
    data: _Data,
    images: Images = None,
    split: Split = "test",
    out: _Out = Path("report"),
    margin: _Margin = None,
    threads: Threads = None,
    as_json: Json = False,
    runs: _Runs = 30,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
) -> None:
    """Prove that the small model may stand in for the float one: same photographs, same path.

    Measures both on this machine and writes report.html (one page, needs no network), compare.json
    and predictions.csv. With --margin, the exit code is 3 if the lower 95 % bound of
    AUC(small) - AUC(float) lies below -margin.

    \b
    Example:
      kit compare float.kit small.kit --data photos/ --split val+test --margin 0.02 --out report
    """
    from dermedge import page, report, slots, summary, table
    from dermedge.compare import Plan, passes
    from dermedge.compare import compare as measure
    from dermedge.errors import GateError
    from dermedge.progress import drawn

    page.require_installed()
    opened, _ = slots.open_named(full, home, allow_unsigned)
    other, _ = slots.open_named(small, home, allow_unsigned)
    labelled = table.read(data, images)
    with drawn() as progress:
        found = measure(opened, other, labelled, Plan(split, threads, runs), progress)
    written = report.write(found, out, margin)
    verdict = summary.verdict(found, margin)
    if as_json:
        print(json.dumps(report.as_dict(found, margin), indent=2))
    else:
        print(f"{summary.comparison_table(found)}\n\n{verdict}")
    made_up = f"{found.setting.made_up.capitalize()}. " if found.setting.made_up else ""
    print(f"{made_up}{found.setting.notice}\nReport: {written}", file=sys.stderr)
    if margin is not None and not passes(found, margin):
        raise GateError(f"{verdict} See {written}")
