"""The part of `kit camera` that serves the preview: `--web`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dermedge.diagnose import Diagnostician
    from dermedge.web.certificate import Own
    from dermedge.web.preview import Preview
    from dermedge.web.settings import Settings

WEB = "web"  # as in --capture web
VARIABLE = "KIT_WEB_TOKEN"
AUTO = "auto"

Web = Annotated[
    bool, typer.Option("--web", help="Serve a page with the live picture, and a JSON API.")
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--web-listen",
        help="Where: HOST, HOST:PORT; 0.0.0.0 is reached from the network. [127.0.0.1:8077]",
        metavar="ADDRESS",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--web-token-file",
        help=f"A file with the token that opens it. [${VARIABLE}, the token itself; for the "
        "network else a new one, printed]",
    ),
]
Tls = Annotated[
    str | None,
    typer.Option(
        "--web-tls",
        help="Encrypt: auto, with a certificate made on this device, or CERT.pem,KEY.pem.",
        metavar="HOW",
    ),
]
Name = Annotated[
    list[str] | None,
    typer.Option("--web-name", help="A further name by which it is reached; several may be given."),
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for, as they were given."""

    wanted: bool = False
    listen: str | None = None
    token_file: Path | None = None
    tls: str | None = None
    names: tuple[str, ...] = ()


def check(wish: Wish) -> None:
    """Refuse options that can't be meant; no file is read.

    Raises:
        BadParameter: They make no sense, or none without `--web`.
        InputError: An address that can't be served.
    """
    if not wish.wanted:
        if wish != Wish():
            raise typer.BadParameter("--web-... are options of the preview; add --web")
        return
    from dermedge.web import settings

    _files(wish.tls)
    settings.Settings(*_address(wish.listen), settings.new_token()).check()


def preview(
    stack: ExitStack,
    wish: Wish,
    home: Path,
    appoint: Callable[[], Diagnostician],
    diagnostician: Diagnostician,
    focus: threading.Event,
) -> Preview | None:
    """The preview as the options ask for it, open and announced; None without `--web`.

    Args:
        stack: Closes it.
        wish: The options.
        home: The device's folder; a certificate that is made stays there.
        appoint: Builds who judges uploads.
        diagnostician: Judges the frames; its present contract is told of.
        focus: Is set when the page asks the camera to focus.

    Raises:
        KitError: An option can't be used, the port is in use, the extra is not installed.
    """
    check(wish)
    if not wish.wanted:
        return None
    from dermedge.web.preview import Preview

    given = _token(wish.token_file)
    settings, made = _settings(wish, home, given)
    fingerprint, renew = "", None
    if made is not None:
        fingerprint, renew = made.fingerprint, lambda: _renew(made, home, wish.names)
    opened = Preview(settings, appoint, lambda: diagnostician.contract, fingerprint, focus, renew)
    found = stack.enter_context(opened)
    # A log is no place for a token that is written down elsewhere; a new one has no other.
    known = not sys.stderr.isatty() and settings.token == given
    typer.echo(found.greeting(known), err=True)
    return found


def _settings(wish: Wish, home: Path, token: str) -> tuple[Settings, Own | None]:
    """The settings, and the certificate if it is one that is made here.

    Args:
        wish: The options.
        home: The device's folder.
        token: The one that was given; empty if none was.
    """
    from dermedge.loopback import is_loopback
    from dermedge.web import certificate, settings

    host, port = _address(wish.listen)
    if not token and not is_loopback(host):
        token = settings.new_token()
    pair, made = _files(wish.tls), None
    if wish.tls == AUTO:
        made = certificate.own(home, wish.names)
        pair = made.certificate, made.key
    return settings.Settings(host, port, token, wish.names, *pair), made


def _renew(kept: Own, home: Path, names: tuple[str, ...]) -> None:
    """Make the certificate anew if it ends soon, and tell: browsers will ask about it again."""
    from dermedge.errors import KitError
    from dermedge.web import certificate

    try:
        # An address that it lacks is no reason: while it serves, as few as can be are made.
        if certificate.lasts(kept):
            return
        fingerprint = certificate.own(home, names).fingerprint
    except KitError as error:
        typer.echo(f"preview: the certificate ends soon and can't be renewed: {error}", err=True)
    else:
        typer.echo(f"preview: a new certificate, its SHA-256 is {fingerprint}", err=True)


def _address(text: str | None) -> tuple[str, int]:
    """Host and port, e.g. of 0.0.0.0:8077, localhost, [::1]:80."""
    from dermedge.web.settings import LOOPBACK, PORT

    host, colon, port = (text or LOOPBACK).rpartition(":")
    if not colon or "]" in port:  # no port; the colon may be one of an address in brackets
        host, port = text or LOOPBACK, str(PORT)
    if not host or not port.isdecimal():
        raise typer.BadParameter(f"--web-listen: expected as 0.0.0.0:8077, got {text}")
    return host.strip("[]"), int(port)


def _token(file: Path | None) -> str:
    from dermedge import secret
    from dermedge.errors import InputError

    if file is None:
        return os.environ.get(VARIABLE, "").strip()
    found = secret.read(file, "token").strip()
    if not found:
        raise InputError(f"the token {file} is empty; openssl rand -hex 16 makes one")
    return found


def _files(tls: str | None) -> tuple[Path | None, Path | None]:
    """Certificate and key that are named; none if none are."""
    if tls in (None, AUTO):
        return None, None
    certificate, comma, key = str(tls).partition(",")
    if not comma:
        raise typer.BadParameter(f"--web-tls: expected auto, or CERT.pem,KEY.pem; got {tls}")
    return Path(certificate), Path(key)
