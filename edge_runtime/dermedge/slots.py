"""The models of a device: which is in use, which was before, and how to open them.

    HOME/keys/NAME.pub       whose bundles are let in, see `dermedge.keys`
    HOME/slots/SHA256.kit    the bundles, each named by what it holds and never changed
    HOME/state.json          which of them is in use; replaced by one rename, which is the switch
    HOME/trial.json          how often the newest was begun in vain, see `dermedge.trial`
    HOME/lock                held by whoever installs

How they get there is the business of `dermedge.update`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermedge import atomic, trial, trust
from dermedge.bundle import Bundle, open_bundle
from dermedge.errors import BundleError, StorageError

FORMAT = 1
INSTALLED = "installed"  # the word that stands for the model in use where a bundle is named

_MAX_BYTES = 1 << 16
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Slot:
    """One installed bundle.

    Attributes:
        sha256: Of the bundle file, which is named after it.
        version: The signed one; 0 if unsigned.
        signature: As in `dermedge.trust.Origin`.
        allow_unsigned: Whether somebody let it in without a signature of a pinned key.
        installed: When, UTC, ISO 8601.
    """

    sha256: str
    version: int
    signature: str
    allow_unsigned: bool
    installed: str


@dataclass(frozen=True, slots=True)
class State:
    """What a device holds.

    Attributes:
        current: The model in use.
        previous: The one before, to roll back to.
        trying: One whose installation is going on, or was cut off.
        newest: The version last installed; an older one is a downgrade.
    """

    current: Slot | None = None
    previous: Slot | None = None
    trying: Slot | None = None
    newest: int = 0


def read(home: Path) -> State:
    """What is installed; an empty state if nothing ever was.

    Raises:
        BundleError: The state is damaged.
        StorageError: It can't be read.
    """
    path = _state(home)
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES)
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from error
    try:
        return _parse(text)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged; remove it and install the bundle again") from error


def stamp(home: Path) -> tuple[int, int, int] | None:
    """What changes with every switch, for the price of one look at the disk; None if not there."""
    try:
        found = _state(home).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def open_current(home: Path) -> tuple[Bundle, str]:
    """Open the model in use; if it is damaged or failed its trial, the one before.

    Writes nothing.

    Returns:
        The bundle, and in words why it is not the current one; empty if it is.

    Raises:
        BundleError: None is installed, or none can be used.
        MissingError: The extra `sign` is not installed, and the model is signed.
    """
    state = read(home)
    if state.current is None:
        raise BundleError(f"no model is installed in {home}; kit bundle install FILE.kit does it")
    try:
        if state.previous and trial.failed(home, state.current.sha256):
            died = f"{trial.STARTS} processes died of the model {state.current.sha256[:12]}."
            raise BundleError(died)
        return open_slot(home, state.current), ""
    except BundleError as error:
        if state.previous is None:
            raise
        found = open_slot(home, state.previous)
        return found, f"{error} The model before is in use instead."


def open_named(bundle: Path, home: Path, allow_unsigned: bool = False) -> tuple[Bundle, str]:
    """Open a bundle file, or for `installed` the model in use (`./installed` is a file).

    Args:
        bundle: What the user named.
        home: The device's folder, whose pinned keys decide what is let in.
        allow_unsigned: Let in a file that none of them signed.

    Returns:
        As `open_current`.

    Raises:
        KitError: As `open_current` and `open_bundle`.
    """
    if str(bundle) == INSTALLED:
        return open_current(home)
    return open_bundle(bundle, trust.of_device(home, allow_unsigned)), ""


def open_slot(home: Path, slot: Slot) -> Bundle:
    """Open one installed bundle; its signature is verified again.

    Raises:
        BundleError: It is not what was installed, or its key is no longer pinned.
        MissingError: The extra `sign` is not installed, and the bundle is signed.
    """
    asked = trust.of_device(home, slot.allow_unsigned, demanded=True)
    bundle = open_bundle(file(home, slot), asked)
    if bundle.sha256 != slot.sha256:
        raise BundleError(f"{bundle.path} is not what was installed.")
    return bundle


def write(home: Path, state: State) -> None:
    """Replace the state, by one rename.

    Raises:
        StorageError: It can't be written; the old state stands.
    """
    text = json.dumps({"format": FORMAT, **asdict(state)}, indent=2)
    atomic.publish_text(_state(home), f"{text}\n")


def file(home: Path, slot: Slot) -> Path:
    """Where an installed bundle lies."""
    return home / "slots" / f"{slot.sha256}.kit"


def _parse(text: bytes) -> State:
    found = json.loads(text)
    if found.pop("format") != FORMAT or type(found["newest"]) is not int:
        raise ValueError("format")
    slots = {name: _slot_of(found.pop(name)) for name in ("current", "previous", "trying")}
    return State(**slots, **found)


def _slot_of(values: Any) -> Slot | None:
    if values is None:
        return None
    slot = Slot(**values)
    texts = dict.fromkeys(("sha256", "signature", "installed"), str)
    kinds = {**texts, "version": int, "allow_unsigned": bool}
    wrong = [name for name, kind in kinds.items() if type(getattr(slot, name)) is not kind]
    if wrong or not _HEX.fullmatch(slot.sha256):
        raise ValueError("slot")
    return slot


def _state(home: Path) -> Path:
    return home / "state.json"
