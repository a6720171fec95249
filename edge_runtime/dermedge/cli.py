"""The command `kit`: its edge commands, and those that other packages add to it."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from dermedge import __version__, cli_bundle, cli_edge, cli_records, permission
from dermedge.cli_benchmark import benchmark
from dermedge.cli_camera import camera
from dermedge.cli_compare import compare
from dermedge.cli_evaluate import evaluate
from dermedge.errors import ImageError, InputError, Interrupted, KitError
from dermedge.options import (
    HOME,
    AllowUnsigned,
    BundleFile,
    Home,
    Json,
    Runtime,
    Threads,
    Threshold,
)

# Distributions add commands to `kit` under this name; so the edge package need not know them.
COMMANDS = "dermkit.commands"

app = typer.Typer(
    name="kit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(no_args_is_help=True)(benchmark)
app.command()(camera)
app.command()(compare)
app.command(no_args_is_help=True)(evaluate)
app.add_typer(cli_bundle.app, name="bundle")
app.add_typer(cli_records.app, name="records")
app.add_typer(cli_edge.app, name="edge")


def main() -> None:
    """Run `kit`; a KitError becomes one line and its exit code, as does what we may not read."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for command in metadata.entry_points(group=COMMANDS):
            command.load()(app)
        app()
    except KitError as error:
        _end(error)
    except OSError as error:  # of any file that was named; to look for it is enough
        said = permission.in_words(error)
        if said is None:
            raise
        _end(InputError(said))


def _end(error: KitError) -> None:
    print(f"kit: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dermkit {__version__}")
        raise typer.Exit


@app.callback()
def kit(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Train, compress, prove and run skin-lesion classifiers on edge devices.

    Research software, not a medical device.
    """


@app.command(no_args_is_help=True)
def diagnose(
    bundle: BundleFile,
    images: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    threads: Threads = None,
    runtime: Runtime = None,
    threshold: Threshold = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures of what moved the model.", metavar="FOLDER"),
    ] = None,
    as_json: Json = False,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
) -> None:
    """Judge photographs: decision, probability, quality.

    Decisions: refer, clear, uncertain (too close to the threshold), not assessable
    (quality, or unlike the training photographs).

    \b
    Example:
      kit diagnose small.kit photo.jpg
      kit diagnose small.kit photos/ --json > results.jsonl
      kit diagnose installed photo.jpg
      kit diagnose small.kit photos/ --heatmap maps/
    """
    from dermedge import answer, progress, relay, slots
    from dermedge.threshold import set_by_user

    paths = _photographs(images)
    opened, note = slots.open_named(bundle, home, allow_unsigned)
    rule = set_by_user(opened.contract, threshold)
    doctor = relay.build(dataclasses.replace(opened, contract=rule), home, threads, runtime)
    for remark in filter(None, (note, doctor.note)):
        print(f"kit: {remark}", file=sys.stderr)
    terms = doctor.contract
    say = answer.as_json if as_json else answer.as_text
    judged = doctor.diagnose_files(paths)
    if heatmap is not None:
        from dermedge import sheet

        judged = sheet.each(judged, heatmap, terms)
    failed = 0
    # On a terminal the lines themselves show how far it is; redirected, a progress stands beside.
    with progress.drawn() if not sys.stdout.isatty() else nullcontext(progress.silent) as draw:
        for done, (path, found) in enumerate(judged, 1):
            failed += isinstance(found, ImageError)
            line = say(path, found, terms, opened.signature)
            print(line.encode(errors="backslashreplace").decode(), flush=True)  # odd file names
            draw("photographs", done, len(paths))
    made_up = "This model has only seen made-up pictures. " if terms.provenance.made_up else ""
    print(f"{made_up}{terms.notice}", file=sys.stderr)
    if failed:
        raise ImageError(f"{failed} of {len(paths)} photographs could not be judged, see above")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has and lacks, and the line that mends each fault.

    \b
    Example:
      kit doctor
    """
    from dermedge import doctor as check

    findings = check.examine()
    if as_json:
        print(json.dumps([check.as_dict(finding) for finding in findings], indent=2))
    else:
        print(check.as_text(findings))
    faults = [finding for finding in findings if finding.fault]
    if faults:
        raise KitError(f"{len(faults)} faults, see above")


def _photographs(given: list[Path]) -> list[Path]:
    from dermedge import image

    paths = []
    for path in given:
        found = image.find(path) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path} holds no photographs ({', '.join(sorted(image.ENDINGS))})")
        paths += found
    return paths


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted
