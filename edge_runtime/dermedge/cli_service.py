"""The part of `kit edge install` that reads the options of the service: those of `kit camera`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dermedge.service import Service

# What is no option of a service, and why.
_ALIEN = {
    "--source": "stands before the --",
    "--list": "is for kit camera by hand: a service would end at once",
    "--help": "is for kit camera by hand: a service would end at once",
}
_FILES = {"path", "file", "directory"}  # how click calls the types of an option that names one


def check(chosen: Service) -> None:
    """Refuse what kit camera would refuse, or not find, when the service starts.

    Raises:
        BadParameter: Options that kit camera does not take, or that make no sense in a service.
        InputError: Likewise, or a file that the service can't see or write.
    """
    from dermedge import service
    from dermedge.cli_camera import CHECK, camera

    for word in chosen.options:
        name = word.partition("=")[0]
        if name in _ALIEN:
            raise typer.BadParameter(f"{name} {_ALIEN[name]}")
    alone = typer.Typer(add_completion=False)
    alone.command()(camera)
    command = typer.main.get_command(alone)
    words = service.command(chosen)[2:]
    with command.make_context("kit camera", words, obj=CHECK) as context:
        command.invoke(context)
    given = context.params
    if given["window"]:
        raise typer.BadParameter("--window: a service has no screen")
    if "key" in (given["capture_on"] or ()):
        raise typer.BadParameter("--capture key: a service has neither a window nor a terminal")
    for path in _files(command, context):
        service.visible(path)
    service.writable(str(given["record"]))


def _files(command: Any, context: Any) -> Iterator[str]:
    """Every file that is named, the bundle in use aside."""
    from dermedge.slots import INSTALLED

    for each in command.params:
        source = context.get_parameter_source(each.name)
        value = str(context.params.get(each.name))
        named = source is not None and source.name == "COMMANDLINE"
        if named and each.type.name in _FILES and value != INSTALLED:
            yield value
    tls = context.params["web_tls"] or ""
    yield from tls.split(",") if "," in tls else ()
