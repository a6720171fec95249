"""`kit edge`: put the kit on a device as a service, also without internet, and take it off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dermedge.options import Threads

app = typer.Typer(
    no_args_is_help=True,
    help="The kit on a device: collect it, install it as a service, take it off.",
    rich_markup_mode=None,
)

_Out = Annotated[Path, typer.Option(help="A new folder for the wheels.")]
_Platform = Annotated[
    list[str], typer.Option(help="Wheel platform of the device; several may be given.")
]
_Python = Annotated[
    str, typer.Option(help="The device's Python: 3.11 on Bookworm, 3.13 on Trixie.", metavar="X.Y")
]
_Extra = Annotated[
    list[str] | None, typer.Option(help="An extra of the kit, as sign, crypt or report.")
]
_Wheel = Annotated[Path | None, typer.Option(help="The kit's own wheel (make wheels).")]
_Bundle = Annotated[str, typer.Option(help="A bundle's whole path; or installed.")]
_Source = Annotated[
    str,
    typer.Option(
        help="The camera, as for kit camera; rtsp: alone (or http:, ...): its address stands in "
        "/etc/dermkit.env, as KIT_SOURCE."
    ),
]
_Unsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Also a bundle without a pinned key's signature.")
]
_Wheelhouse = Annotated[
    Path | None, typer.Option(help="Take every wheel from this folder, none from the network.")
]
_Environment = Annotated[Path, typer.Option("--env", help="The virtual environment.")]
_Lean = Annotated[
    bool,
    typer.Option("--lean", help="Take less of the card: without pip, compiled only as it runs."),
]
_Options = Annotated[
    list[str] | None,
    typer.Argument(help="Of kit camera, behind --.", metavar="CAMERA_OPTIONS"),
]
_Systemctl = Annotated[
    bool, typer.Option("--systemctl", help="Also let systemd start the service, or stop it.")
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be written and run; do nothing.")
]
_Uninstall = Annotated[
    bool, typer.Option("--uninstall", help="Take the service and the environment off again.")
]


@app.callback()
def edge() -> None:
    """The kit on a device: collect it, install it as a service, take it off."""


@app.command(no_args_is_help=True)
def wheelhouse(
    out: _Out,
    platform: _Platform = ["linux_aarch64"],  # noqa: B006 - typer copies it
    python: _Python = "3.11",
    extra: _Extra = None,
    wheel: _Wheel = None,
) -> None:
    """Collect the kit and all that it needs as wheels, for a device without internet.

    INSTALL.txt in the folder holds the line to run on the device. linux_aarch64 stands for every
    platform name that a 64-bit Raspberry Pi takes.

    \b
    Example:
      kit edge wheelhouse --out wheels --extra sign
      kit edge wheelhouse --out wheels --python 3.13
    """
    from dermedge import wheelhouse as wheels

    target = wheels.Target(tuple(platform), python, tuple(extra or ()))
    found = wheels.collect(out, target, wheel, lambda name: typer.echo(f"  {name}", err=True))
    size = sum(path.stat().st_size for path in found) / 1e6
    typer.echo(f"{out}: {len(found)} wheels, {size:.0f} MB; see {out / wheels.NOTE}")


@app.command()
def install(
    options: _Options = None,
    bundle: _Bundle = "installed",
    source: _Source = "auto",
    threads: Threads = None,
    allow_unsigned: _Unsigned = False,
    wheelhouse: _Wheelhouse = None,
    wheel: _Wheel = None,
    extra: _Extra = None,
    env: _Environment = Path("/opt/dermkit"),
    lean: _Lean = False,
    systemctl: _Systemctl = False,
    uninstall: _Uninstall = False,
    dry_run: _DryRun = False,
) -> None:
    """Install the kit on this device with a service that judges from its start on; needs root.

    It makes a virtual environment that sees the system's Picamera2, fills it from the wheelhouse,
    or from the kit's wheel and the index, and writes dermkit-camera.service. To run it again is an
    update. systemd is left alone unless --systemctl is given; the lines to run are printed. Records
    and models are in /var/lib/dermkit, and stay there when the kit is taken off.

    \b
    Example:
      kit edge install --wheelhouse wheels --dry-run
      kit edge install --wheelhouse wheels --extra sign --source picamera2 --systemctl
      kit edge install --wheelhouse wheels --extra web -- --web --web-listen 0.0.0.0 --web-tls auto
      kit edge install --uninstall --systemctl
    """
    from dermedge import cli_service, installation
    from dermedge.errors import InputError
    from dermedge.service import STATE, Service

    if wheelhouse is not None and wheel is not None:
        raise typer.BadParameter("--wheelhouse and --wheel: only one of them")
    chosen = Service(env, bundle, source, threads, allow_unsigned, tuple(options or ()))
    if uninstall:
        steps = installation.uninstall(env, systemctl)
    elif wheelhouse is None and wheel is None:
        raise InputError(
            "name the kit: --wheelhouse (kit edge wheelhouse collects one), or --wheel: "
            f"{installation.UNPUBLISHED}"
        )
    else:
        cli_service.check(chosen)
        wanted = installation.requirement(wheel, tuple(extra or ()))
        steps = installation.install(chosen, wanted, wheelhouse, systemctl, lean=lean)
    if dry_run:
        typer.echo("\n".join(map(str, steps)))
        return
    _require_root()
    installation.perform(steps, lambda step: typer.echo(step, err=True))
    if uninstall:
        typer.echo(f"Records and models are still in {STATE}.")
        return
    typer.echo("Next:")
    for line in installation.next_steps(chosen, systemctl):
        typer.echo(f"  {line}")


def _require_root() -> None:
    from dermedge.errors import KitError

    if os.geteuid():
        raise KitError("this writes to /opt and /etc: run it with sudo, or look with --dry-run")
