"""`kit bundle`: pack, sign and verify models; install them on this device, and go back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermedge.options import HOME, AllowUnsigned, BundleFile, Home, Json, PlainFile, Threads

if TYPE_CHECKING:
    from dermedge.bundle import Bundle
    from dermedge.slots import Slot, State

app = typer.Typer(
    no_args_is_help=True,
    help="Models as files: signed, verified, installed on this device.",
    rich_markup_mode=None,
)

_Contract = Annotated[Path, typer.Argument(help="Its contract.json.")]
_Model = Annotated[Path, typer.Argument(help="A .tflite file.")]
_NewBundle = Annotated[Path, typer.Option(help="The bundle to write.")]
_Card = Annotated[Path | None, typer.Option(help="A model card, Markdown. [a line that says none]")]
_Golden = Annotated[
    bool,
    typer.Option("--golden/--no-golden", help="Run the model here for golden vectors to check by."),
]
_Key = Annotated[Path, typer.Option("--key", help="The private key: NAME.pem.")]
_Signed = Annotated[Path | None, typer.Option(help="The signed bundle. [BUNDLE itself]")]
_Release = Annotated[
    int | None,
    typer.Option(
        min=1, help="Its version, above the one before. [the time, as 20261231235959, UTC]"
    ),
]
_PublicKeys = Annotated[
    list[Path] | None, typer.Option("--key", help="A public key, NAME.pub. [those pinned here]")
]
_Downgrade = Annotated[
    bool, typer.Option("--allow-downgrade", help="Also a version that isn't newer.")
]
_Folder = Annotated[Path, typer.Option(help="Where to write the two files.")]


@app.callback()
def bundle() -> None:
    """Models as files: signed, verified, installed on this device."""


@app.command(no_args_is_help=True)
def pack(
    model: _Model,
    contract: _Contract,
    out: _NewBundle,
    card: _Card = None,
    golden: _Golden = True,
    as_json: Json = False,
) -> None:
    """Pack a model and its contract into a bundle.

    kit compress does this for its own models. The golden vectors are drawn pictures with the scores
    that the model gives them here; a device compares before it takes the model into use.

    \b
    Example:
      kit bundle pack model.tflite contract.json --out small.kit
    """
    from dermedge import bundle as bundles
    from dermedge import contract as contracts
    from dermedge.golden import take
    from dermedge.model import Classifier

    terms, data = contracts.load(contract), _read(model)
    vectors = take(Classifier(data, terms), terms).to_json() if golden else ""
    text = "No model card was given.\n" if card is None else _read(card).decode(errors="replace")
    bundles.pack(out, terms, data, text, vectors)
    _tell(_figures(bundles.open_bundle(out)), as_json)


@app.command(no_args_is_help=True)
def keygen(
    name: Annotated[str, typer.Argument(help="What to call the key.")],
    folder: _Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make a pair of keys: NAME.pem to sign with, which stays secret, and NAME.pub for devices.

    \b
    Example:
      kit bundle keygen clinic
    """
    from dermedge import keys

    key = keys.make(folder, name)
    _tell({"key": key.name, "fingerprint": key.fingerprint}, as_json)


@app.command(no_args_is_help=True)
def sign(
    bundle: PlainFile,
    key: _Key,
    release: _Release = None,
    out: _Signed = None,
    as_json: Json = False,
) -> None:
    """Sign a bundle: a manifest of all its bytes and files, with the key of keygen.

    \b
    Example:
      kit bundle sign small.kit --key clinic.pem
      kit bundle sign small.kit --key clinic.pem --release 7 --out small-7.kit
    """
    from datetime import datetime, timezone

    from dermedge import bundle as bundles
    from dermedge import keys

    now = int(datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S"))
    secret, target = keys.read_private(key), bundle if out is None else out
    manifest = bundles.sign(bundle, target, secret, now if release is None else release)
    said = {"bundle": str(target), "key": secret.public.name}
    _tell({**said, "fingerprint": secret.public.fingerprint, **asdict(manifest)}, as_json)


@app.command(no_args_is_help=True)
def verify(
    bundle: PlainFile, key: _PublicKeys = None, home: Home = HOME, as_json: Json = False
) -> None:
    """Verify a bundle's signature and everything inside; exit code 5 if it isn't sound.

    \b
    Example:
      kit bundle verify small.kit --key clinic.pub
      kit bundle verify small.kit
    """
    from dermedge import keys, trust
    from dermedge.bundle import open_bundle
    from dermedge.trust import Trust

    asked = Trust(tuple(map(keys.read_public, key)), demanded=True) if key else None
    found = open_bundle(bundle, asked or trust.of_device(home, demanded=True))
    _tell(_figures(found), as_json)


@app.command(no_args_is_help=True)
def inspect(
    bundle: BundleFile,
    allow_unsigned: AllowUnsigned = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Say what a bundle holds: model, classes, threshold, provenance, signature.

    \b
    Example:
      kit bundle inspect small.kit
      kit bundle inspect installed --json
    """
    from dermedge import slots

    found, note = slots.open_named(bundle, home, allow_unsigned)
    _warn(note)
    _tell({**_figures(found), **_terms(found)}, as_json)


@app.command(no_args_is_help=True)
def trust(
    key: Annotated[Path, typer.Argument(help="A public key, NAME.pub.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Pin a key: from now on this device only takes bundles that a pinned key signed.

    To take the trust away, remove HOME/keys/NAME.pub.

    \b
    Example:
      kit bundle trust clinic.pub
    """
    from dermedge import keys

    pinned = keys.pin(home / "keys", key)
    _tell({"key": pinned.name, "fingerprint": pinned.fingerprint}, as_json)


@app.command(no_args_is_help=True)
def install(
    bundle: PlainFile,
    allow_unsigned: AllowUnsigned = False,
    allow_downgrade: _Downgrade = False,
    threads: Threads = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Take a bundle into use on this device, once it has proven itself; else nothing changes.

    The signature is verified before anything is unpacked, then the model judges its golden vectors
    here. A running kit camera installed takes it up between two frames.

    \b
    Example:
      kit bundle install small.kit
      kit diagnose installed photo.jpg
    """
    from dermedge import golden, update

    checks: list[golden.Check] = []

    def check(found: Bundle) -> None:
        checks.append(golden.check(found, threads))

    state = update.install(home, bundle, check, allow_unsigned, allow_downgrade)
    _tell({**_listed(state), "check": asdict(checks[-1])}, as_json)


@app.command()
def rollback(threads: Threads = None, home: Home = HOME, as_json: Json = False) -> None:
    """Take the model before into use again; called twice, it is the present one again.

    \b
    Example:
      kit bundle rollback
    """
    from dermedge import golden, update

    state = update.rollback(home, lambda found: golden.check(found, threads))
    _tell(_listed(state), as_json)


@app.command("list")
def list_(home: Home = HOME, as_json: Json = False) -> None:
    """Say which models are installed on this device, and whose signatures it takes.

    \b
    Example:
      kit bundle list
    """
    from dermedge import keys, slots, trial

    pinned = {key.name: key.fingerprint for key in keys.pinned(home / "keys")}
    state = slots.read(home)
    failed = state.current is not None and trial.failed(home, state.current.sha256)
    _tell({**_listed(state), "failed_trial": failed, "keys": pinned}, as_json)


def _figures(found: Bundle) -> dict[str, Any]:
    """What identifies a bundle."""
    return {
        "bundle": str(found.path),
        "sha256": found.sha256,
        "signature": found.signature,
        "version": found.version,
        "model_bytes": len(found.model),
        "golden": bool(found.golden),
    }


def _terms(found: Bundle) -> dict[str, Any]:
    """What it promises."""
    terms, origin = found.contract, found.contract.provenance
    return {
        "model": terms.model.sha256,
        "input": f"{terms.input.height} x {terms.input.width}",
        "labels": [label.name for label in terms.labels],
        "positive": [label.name for label in terms.labels if label.positive],
        "threshold": terms.decision.threshold,
        "chosen_for": terms.decision.chosen_for,
        "data": origin.data,
        "licence": origin.licence,
        "made_up": origin.made_up,
        "recipe": origin.recipe,
        "notice": terms.notice,
    }


def _listed(state: State) -> dict[str, Any]:
    slots: dict[str, Slot | None] = {"current": state.current, "previous": state.previous}
    cut_off = {"cut_off": asdict(state.trying)} if state.trying else {}
    return {**{name: asdict(slot) if slot else None for name, slot in slots.items()}, **cut_off}


def _tell(values: dict[str, Any], as_json: bool) -> None:
    """Print figures, as JSON or a line each."""
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    width = max(map(len, values))
    for name, value in values.items():
        typer.echo(f"{name:<{width}}  {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _warn(note: str) -> None:
    if note:
        typer.echo(f"kit: {note}", err=True)


def _read(path: Path) -> bytes:
    from dermedge.errors import InputError

    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
