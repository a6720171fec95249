"""Putting a bundle into use on a device, and going back: whole or not at all.

A bundle is written beside the others, marked as being tried, checks itself on this device, and
only then the state (`dermedge.slots`) names it. Whatever stops an update, at any point, leaves the
state that names the old model, or the one that names the new, and every file that this state names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from dermedge import atomic, links, slots, trial, trust
from dermedge.bundle import Bundle, open_bundle, sha256
from dermedge.errors import BundleError, KitError, StorageError
from dermedge.slots import Slot, State

# Builds the model and compares its scores; raises a BundleError. See `dermedge.golden.check`.
SelfCheck = Callable[[Bundle], object]

# What an installation leaves in the slots; whatever else lies there is not ours to remove.
_OURS = re.compile(r"[0-9a-f]{64}\.kit|\..*\.tmp\.kit")


def install(
    home: Path,
    source: Path,
    check: SelfCheck,
    allow_unsigned: bool = False,
    allow_downgrade: bool = False,
) -> State:
    """Put a bundle into use, or leave everything as it is.

    Args:
        home: The device's folder.
        source: The bundle; a copy of it is installed.
        check: Lets the model prove itself on this device.
        allow_unsigned: Also without the signature of a pinned key.
        allow_downgrade: Also a version that is not newer than the one last installed.

    Raises:
        BundleError: Refused: its origin, its version, its content, its copy, or its self-check.
        MissingError: The extra `sign` is not installed.
        StorageError: No room, another installation going on, or no right to write.
    """
    asked = trust.of_device(home, allow_unsigned, demanded=True)
    with _locked(home):
        state = slots.read(home)
        bundle = open_bundle(source, asked)
        if not allow_downgrade:
            _refuse_downgrade(bundle, state)
        slot = _slot(bundle)
        _copy(source, home, slot)
        state = replace(state, trying=slot)
        slots.write(home, state)
        try:
            check(slots.open_slot(home, slot))
        except KitError as error:
            _finish(home, replace(state, trying=None))
            said = str(error).rstrip(".")
            raise type(error)(f"{said}. Not installed; what was in use stays.") from error
        before = _before(home, state, slot)
        trial.begin(home, slot.sha256)
        return _finish(home, State(slot, before, None, slot.version or state.newest))


def rollback(home: Path, check: SelfCheck) -> State:
    """Put the model before into use again; the present one becomes the one before.

    Raises:
        BundleError: There is none, or it can't be used any more.
        StorageError: No room, an installation going on, or no right to write.
    """
    with _locked(home):
        state = slots.read(home)
        if state.previous is None:
            raise BundleError(f"there is no model before the present one in {home}")
        check(slots.open_slot(home, state.previous))
        trial.begin(home, state.previous.sha256)
        return _finish(home, State(state.previous, state.current, None, state.newest))


def _copy(source: Path, home: Path, slot: Slot) -> None:
    """Into its slot, which may be the one in use: so the copy is read back before it goes there."""
    target = slots.file(home, slot)
    with (
        source.open("rb") as given,
        links.held(target.parent) as folder,
        atomic.public(target, folder) as copy,
    ):
        shutil.copyfileobj(given, copy)
        if sha256(copy) != slot.sha256:
            raise BundleError(
                f"the copy of {source} is another than what was checked: it changed meanwhile, or "
                "this disk is faulty. Not installed; what was in use stays."
            )


def _refuse_downgrade(bundle: Bundle, state: State) -> None:
    """An unsigned one has no version, and needs a flag of its own."""
    known = {slot.sha256 for slot in (state.current, state.previous) if slot}
    again = bundle.version == state.newest and bundle.sha256 in known
    if bundle.version and bundle.version <= state.newest and not again:
        raise BundleError(
            f"{bundle.path} is version {bundle.version}, not newer than {state.newest}, the last "
            "one installed; kit bundle rollback goes back, --allow-downgrade installs it"
        )


def _slot(bundle: Bundle) -> Slot:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    unsigned = bundle.signature == trust.UNSIGNED
    return Slot(bundle.sha256, bundle.version, bundle.signature, unsigned, now)


def _before(home: Path, state: State, slot: Slot) -> Slot | None:
    """What to roll back to: what was in use until now, which may be the one before."""
    others = [s for s in (state.current, state.previous) if s and s.sha256 != slot.sha256]
    try:
        used = slots.open_current(home)[0].sha256
    except KitError:
        used = ""
    return next((s for s in others if s.sha256 == used), others[0] if others else None)


def _finish(home: Path, state: State) -> State:
    """Switch, then remove what the state does not name."""
    slots.write(home, state)
    named = {slots.file(home, slot).name for slot in (state.current, state.previous) if slot}
    with links.held(home / "slots") as folder:
        for name in os.listdir(folder):  # noqa: PTH208 (of a descriptor)
            if name not in named and _OURS.fullmatch(name):
                with suppress(OSError):  # the next installation will try again
                    os.unlink(name, dir_fd=folder)
    return state


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the device's folder; the lock ends with the process, however that ends."""
    import fcntl

    try:
        links.share(home)
        links.refuse(*(home / name for name in ("keys", "slots", "lock")))
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | links.NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"{home} can't be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StorageError(f"another installation is going on in {home}") from error
    finally:
        os.close(descriptor)
