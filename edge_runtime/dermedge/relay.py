"""The installed model, judging; a newly installed one takes over between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from dermedge import choice, golden, permission, slots, trial
from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import BundleError, KitError, MissingError
from dermedge.image import RGB

# What the user changes in every bundle that is opened, e.g. its threshold.
Adjust = Callable[[Bundle], Bundle]


def as_packed(bundle: Bundle) -> Bundle:
    """Change nothing."""
    return bundle


def build(
    bundle: Bundle, home: Path, threads: int | None = None, runtime: str | None = None
) -> Diagnostician:
    """Build a bundle's model as the user says, else as was measured on this device.

    Args:
        bundle: It.
        home: The device's folder, which holds the choice of `kit benchmark --tune`.
        threads: See `Classifier`; with this or `runtime` given, nothing is looked up.
        runtime: Likewise.

    Raises:
        KitError: As `Diagnostician`.
    """
    if threads is not None or runtime is not None:
        return Diagnostician(bundle, threads, runtime)
    found, remark = choice.find(home, bundle.contract.model.sha256)
    if found is not None:
        try:
            return Diagnostician(bundle, found.threads, found.runtime)
        except (BundleError, MissingError) as error:  # a service may forbid what the shell allowed
            remark = f"the runtime that was chosen can't be used here, so the default is: {error}"
    judge = Diagnostician(bundle)
    judge.note = remark
    return judge


def appoint(
    bundle: Path,
    home: Path,
    threads: int | None = None,
    allow_unsigned: bool = False,
    adjust: Adjust = as_packed,
    runtime: str | None = None,
) -> Diagnostician:
    """Who judges with the bundle that the user named: a Relay for `installed`.

    Args:
        bundle: A bundle file, or `installed`.
        home: The device's folder.
        threads: See `build`.
        allow_unsigned: Let in a file that no pinned key signed.
        adjust: Changes each bundle that is opened.
        runtime: See `build`.

    Raises:
        KitError: As `slots.open_named` and `Diagnostician`.
    """
    if str(bundle) == slots.INSTALLED:
        return Relay(home, threads, adjust, runtime)
    opened, _ = slots.open_named(bundle, home, allow_unsigned)
    return build(adjust(opened), home, threads, runtime)


class Relay(Diagnostician):
    """Judges with the model that is in use on this device, whichever that is.

    The next model is opened and built in a thread while the present one goes on judging, so that no
    frame waits for it. One that can't be used changes nothing but `note`.

    Attributes:
        bundle: The one whose model judged last.
        note: What went wrong with the model that should be in use, or with the choice of its
            runtime; empty if nothing did.
    """

    def __init__(
        self,
        home: Path,
        threads: int | None = None,
        adjust: Adjust = as_packed,
        runtime: str | None = None,
    ) -> None:
        """Open the installed model; see `slots.open_current` and `Diagnostician` for errors."""
        self._home, self._adjust = home, adjust
        self._threads, self._runtime = threads, runtime
        self._stamp = slots.stamp(home)
        self._builder: threading.Thread | None = None
        self._next: Diagnostician | None = None
        self._take_over(self._open())

    def diagnose(self, image: RGB) -> Diagnosis:
        """Judge one photograph; see `Diagnostician.diagnose`."""
        self._look()
        return super().diagnose(image)

    def _look(self) -> None:
        """Take over what is built; start to build what is new."""
        if self._builder is not None:
            if self._builder.is_alive():
                return
            self._builder = None
            if self._next is not None:
                self._take_over(self._next)
                self._next = None
        now = slots.stamp(self._home)
        if now != self._stamp:
            self._stamp = now
            self._builder = threading.Thread(target=self._build, name="dermedge-relay", daemon=True)
            self._builder.start()

    def _take_over(self, other: Diagnostician) -> None:
        self.bundle, self.contract = other.bundle, other.contract
        self.classifier, self.watch = other.classifier, other.watch

    def _open(self) -> Diagnostician:
        """The model that is in use now, built and warm."""
        opened, note = slots.open_current(self._home)
        with trial.use(self._home, opened.sha256):
            judge = build(self._adjust(opened), self._home, self._threads, self._runtime)
            judge.diagnose(golden.patterns()[0])
        self.note = "; ".join(filter(None, (note, judge.note)))
        return judge

    def _build(self) -> None:
        try:
            judge = self._open()
            if judge.bundle.sha256 != self.bundle.sha256:
                self._next = judge
        except KitError as error:
            self.note = str(error)
        except PermissionError as error:
            self.note = permission.explain(error)
