"""A running camera takes a newly installed model up between two frames."""

import dataclasses
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dermedge import golden, relay, slots, trial, update
from dermedge.bundle import Bundle, open_bundle, pack
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError, Interrupted
from dermedge.image import RGB
from dermedge.live import Sighting, watch
from dermedge.relay import Relay

FRAMES = 400  # far more than it takes


class Handed:
    """A camera that shows each frame only when it is handed one; None ends it."""

    name, interval, skipped = "handed", 0.0, ()

    def __init__(self) -> None:
        self.frames: queue.Queue[RGB | None] = queue.Queue()

    def read(self) -> RGB | None:
        return self.frames.get()

    def close(self) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, tiny_bundles: tuple[Path, Path]) -> Path:
    """A device on which the float model is installed."""
    install(tmp_path / "home", tiny_bundles[0])
    return tmp_path / "home"


def install(home: Path, path: Path) -> None:
    update.install(home, path, lambda bundle: golden.check(bundle, 1), allow_unsigned=True)


def seen_by(judge: Relay, photo: RGB, frames: int) -> Iterator[Sighting]:
    """Judge frame after frame, each handed over after the one before was judged."""
    source = Handed()
    loop = watch(source, judge, frames)
    try:
        for _ in range(frames):
            source.frames.put(photo)
            yield next(loop)
    finally:
        source.frames.put(None)
        loop.close()


def test_a_new_model_takes_over_between_two_frames_and_none_is_dropped(
    home: Path, tiny_bundles: tuple[Path, Path], photo: RGB
):
    old, new = (open_bundle(path) for path in tiny_bundles)
    judge = Relay(home, threads=1)
    numbers, models = [], []
    for sighting in seen_by(judge, photo, FRAMES):
        numbers.append(sighting.frame.number)
        models.append(judge.bundle.sha256)
        alone = Diagnostician(judge.bundle, 1).diagnose(photo)
        assert np.array_equal(sighting.diagnosis.outputs.scores, alone.outputs.scores)
        if len(models) > 1 and models[-1] != models[-2]:
            # Nothing of the model before enters the average.
            assert sighting.smoothed_probability == pytest.approx(alone.probability)
        assert sighting.dropped == 0
        if len(numbers) == 3:
            install(home, tiny_bundles[1])
        if models[-3:] == [new.sha256] * 3:
            break
        time.sleep(0.01)
    assert numbers == list(range(1, len(numbers) + 1))
    switch = models.index(new.sha256)
    assert models == [old.sha256] * switch + [new.sha256] * 3
    assert switch >= 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BundleError("it is rotten"), "it is rotten"),
        (PermissionError(13, "Permission denied", "/x/y"), "/x/y: Permission denied"),
    ],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_that_can_not_be_used_leaves_the_present_one_at_work(
    home: Path,
    tiny_bundles: tuple[Path, Path],
    photo: RGB,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
):
    judge = Relay(home, threads=1)
    before = judge.bundle

    def broken(relay: Relay) -> None:
        raise error

    monkeypatch.setattr(Relay, "_open", broken)
    install(home, tiny_bundles[1])
    for _ in range(FRAMES):
        judge.diagnose(photo)
        if judge.note:
            break
        time.sleep(0.01)
    assert judge.note.startswith(said)
    assert judge.bundle is before
    monkeypatch.undo()
    update.rollback(home, lambda bundle: None)
    update.rollback(home, lambda bundle: None)
    assert wait_for(judge, photo, open_bundle(tiny_bundles[1]).sha256)
    assert judge.note == ""


def wait_for(judge: Relay, photo: RGB, sha256: str) -> bool:
    """Whether this bundle takes over."""
    for _ in range(FRAMES):
        judge.diagnose(photo)
        if judge.bundle.sha256 == sha256:
            return True
        time.sleep(0.01)
    return False


def test_what_the_user_changed_holds_for_the_next_model_too(
    home: Path, tiny_bundles: tuple[Path, Path], photo: RGB
):
    def strict(bundle: Bundle) -> Bundle:
        terms = bundle.contract
        rule = dataclasses.replace(terms.decision, thresholds={"mine": 0.1}, chosen_for="mine")
        return dataclasses.replace(bundle, contract=dataclasses.replace(terms, decision=rule))

    judge = Relay(home, 1, strict)
    assert judge.contract.decision.threshold == 0.1
    install(home, tiny_bundles[1])
    assert wait_for(judge, photo, open_bundle(tiny_bundles[1]).sha256)
    assert judge.contract.decision.threshold == 0.1


def test_another_number_of_classes_does_not_trip_the_average(
    home: Path, tiny_bundles: tuple[Path, Path], photo: RGB, tmp_path: Path
):
    found = open_bundle(tiny_bundles[1])
    labels = tuple(dataclasses.replace(label, positive=False) for label in found.contract.labels)
    rule = dataclasses.replace(found.contract.decision, uncertain_band=(0.0, 0.4))
    terms = dataclasses.replace(found.contract, labels=labels, decision=rule)
    pack(tmp_path / "naming.kit", terms, found.model, found.card)
    judge = Relay(home, threads=1)
    for number, sighting in enumerate(seen_by(judge, photo, FRAMES)):
        if number == 1:
            install(home, tmp_path / "naming.kit")
        if not judge.contract.positive:
            assert sighting.smoothed_decision == sighting.diagnosis.decision
            break
        time.sleep(0.01)
    assert not judge.contract.positive


def test_the_first_use_ends_the_trial(home: Path):
    assert (home / "trial.json").exists()
    Relay(home, threads=1)
    assert not (home / "trial.json").exists()


def test_a_model_that_breaks_at_its_first_use_is_counted(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    def dies(judge: Diagnostician, image: RGB) -> None:
        raise BundleError("no number")

    monkeypatch.setattr(Diagnostician, "diagnose", dies)
    digest = slots.open_current(home)[0].sha256
    for _ in range(trial.STARTS):
        assert not trial.failed(home, digest)
        with pytest.raises(BundleError, match="no number"):
            Relay(home, threads=1)
    assert trial.failed(home, digest)


def test_a_wish_to_stop_is_no_death_of_the_model(home: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(judge: Diagnostician, image: RGB) -> None:
        raise Interrupted

    monkeypatch.setattr(Diagnostician, "diagnose", stopped)
    digest = slots.open_current(home)[0].sha256
    for _ in range(trial.STARTS):
        with pytest.raises(Interrupted):
            Relay(home, threads=1)
    assert not trial.failed(home, digest)
    assert (home / "trial.json").exists()  # it goes on


def test_who_judges_is_what_was_named(home: Path, tiny_bundles: tuple[Path, Path]):
    assert isinstance(relay.appoint(Path("installed"), home, 1), Relay)
    judge = relay.appoint(tiny_bundles[1], home, 1)
    assert type(judge) is Diagnostician
    assert judge.bundle.path == tiny_bundles[1]


class Fast:
    """A camera that is faster than the model, until it is told to end."""

    name, interval, skipped = "fast", 0.001, ()

    def __init__(self, image: RGB) -> None:
        self.image, self.ends = image, threading.Event()

    def read(self) -> RGB | None:
        return None if self.ends.is_set() else self.image

    def close(self) -> None:
        pass


def test_models_are_swapped_under_load(home: Path, tiny_bundles: tuple[Path, Path], photo: RGB):
    install(home, tiny_bundles[1])
    judge, source = Relay(home, threads=1), Fast(photo)
    models: list[str] = []

    def swap() -> None:
        for _ in range(6):
            update.rollback(home, lambda bundle: None)
            wanted = slots.open_current(home)[0].sha256
            for _ in range(FRAMES):
                if models[-1] == wanted:
                    break
                time.sleep(0.01)
        source.ends.set()

    swapper = threading.Thread(target=swap)
    numbers = []
    for sighting in watch(source, judge):
        models.append(judge.bundle.sha256)
        numbers.append(sighting.frame.number)
        if len(models) == 1:
            swapper.start()
    swapper.join()
    assert numbers == sorted(set(numbers))
    switches = sum(one != two for one, two in itertools.pairwise(models))
    assert switches == 6
