"""The part of `kit camera` that opens the source: its options, `--list`, what is inspected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from dermedge import address
from dermedge.options import finite

if TYPE_CHECKING:
    from dermedge.live import Inspect
    from dermedge.source import Source, Wish


def _complete(source: str) -> str:
    if address.is_placeholder(source):
        raise typer.BadParameter(
            f"{source} names no camera: its address belongs into {address.VARIABLE}, in a service "
            "into /etc/dermkit.env"
        )
    return source


SourceName = Annotated[
    str,
    typer.Option(
        help="auto, 0, /dev/videoN, rtsp://…, picamera2, fake:, a video file, or a folder of "
        f"photographs. An address with a password belongs into ${address.VARIABLE}.",
        envvar=address.VARIABLE,
        show_envvar=False,
        callback=_complete,
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Pace of a folder of photographs [10], or asked of a camera.",
        metavar="N",
        callback=finite,
    ),
]
Size = Annotated[
    str | None, typer.Option(help="Size of the frames, asked of a camera.", metavar="WxH")
]
Lock = Annotated[
    bool, typer.Option("--lock", help="Ribbon camera: focus once, then hold focus and exposure.")
]
Skin = Annotated[
    bool,
    typer.Option(
        "--skin-check/--no-skin-check", help="A camera that sees no skin is not assessable."
    ),
]


def _list_cameras(wanted: bool) -> None:
    if not wanted:
        return
    from dermedge import inventory

    typer.echo(inventory.as_text(inventory.look()))
    raise typer.Exit


List = Annotated[
    bool,
    typer.Option(
        "--list",
        help="Say which cameras there are, and which one auto takes; judge nothing.",
        is_eager=True,
        callback=_list_cameras,
    ),
]


def wish(size: str | None, fps: float | None, lock: bool) -> Wish:
    """What the options ask of a camera."""
    from dermedge.source import Wish

    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", size or "")
    if size is not None and found is None:
        raise typer.BadParameter(f"--size: expected as 1280x720, got {size}")
    return Wish((int(found[1]), int(found[2])) if found else None, fps, lock)


def inspection(source: Source, skin_check: bool) -> Inspect:
    """What is asked of a frame in view of those before it; of a replay nothing can be."""
    from dermedge import scene

    if source.interval:
        return scene.frozen
    return scene.live if skin_check else scene.restless
