"""Installing: only what is trusted, proven and newer; whole or not at all, whatever happens."""

import dataclasses
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from dermedge import atomic, golden, keys, slots, trial, update
from dermedge.bundle import Bundle, open_bundle, pack, sign
from dermedge.errors import BundleError, MissingError, StorageError
from dermedge.model import Classifier
from dermedge.slots import State


@dataclasses.dataclass(frozen=True)
class Shop:
    """Signed versions 1 and 2, an unsigned bundle, and a device that trusts the signer."""

    home: Path
    one: Path
    two: Path
    unsigned: Path
    folder: Path

    @property
    def state(self) -> State:
        return slots.read(self.home)

    def install(self, path: Path, **options: bool) -> State:
        return update.install(self.home, path, proven, **options)

    def in_use(self) -> int:
        """The version in use, once its model has given the scores of its maker."""
        bundle, note = slots.open_current(self.home)
        assert note == ""
        golden.check(bundle, 1)
        return bundle.version


def proven(bundle: Bundle) -> None:
    golden.check(bundle, 1)


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory, tiny_bundles: tuple[Path, Path]) -> Path:
    """one.kit, two.kit, unsigned.kit, clinic.pem, clinic.pub."""
    folder = tmp_path_factory.mktemp("goods")
    keys.make(folder, "clinic")
    key = keys.read_private(folder / "clinic.pem")
    for version, (name, source) in enumerate(zip(("one", "two"), tiny_bundles, strict=True), 1):
        found = open_bundle(source)
        vectors = golden.take(Classifier(found.model, found.contract, 1), found.contract)
        path = folder / f"{name}.kit"
        pack(path, found.contract, found.model, found.card, vectors.to_json())
        if version == 1:
            shutil.copy(path, folder / "unsigned.kit")
        sign(path, path, key, version)
    return folder


@pytest.fixture
def shop(tmp_path: Path, goods: Path) -> Shop:
    home = tmp_path / "home"
    keys.pin(home / "keys", goods / "clinic.pub")
    return Shop(home, goods / "one.kit", goods / "two.kit", goods / "unsigned.kit", goods)


def test_an_installed_model_is_in_use_and_the_one_before_is_kept(shop: Shop):
    assert shop.state == State()
    shop.install(shop.one)
    assert shop.in_use() == 1
    state = shop.install(shop.two)
    assert shop.in_use() == 2
    assert state.current is not None
    assert state.previous is not None
    assert (state.current.version, state.previous.version) == (2, 1)
    assert state == shop.state
    assert len(list((shop.home / "slots").iterdir())) == 2


def test_rolling_back_twice_is_where_one_was(shop: Shop):
    shop.install(shop.one)
    shop.install(shop.two)
    update.rollback(shop.home, proven)
    assert shop.in_use() == 1
    update.rollback(shop.home, proven)
    assert shop.in_use() == 2


def test_without_a_model_before_there_is_no_way_back(shop: Shop):
    with pytest.raises(BundleError, match="no model before"):
        update.rollback(shop.home, proven)
    shop.install(shop.one)
    shop.install(shop.one)  # again the same: still nothing before it
    with pytest.raises(BundleError, match="no model before"):
        update.rollback(shop.home, proven)


def test_nothing_installed_is_said(shop: Shop):
    with pytest.raises(BundleError, match=r"no model is installed in .* kit bundle install"):
        slots.open_current(shop.home)


def test_an_older_version_needs_a_flag(shop: Shop):
    shop.install(shop.two)
    with pytest.raises(BundleError, match="version 1, not newer than 2"):
        shop.install(shop.one)
    assert shop.in_use() == 2
    shop.install(shop.one, allow_downgrade=True)
    assert shop.in_use() == 1


def test_another_bundle_of_the_same_version_needs_a_flag(shop: Shop, tmp_path: Path):
    shop.install(shop.two)
    same = tmp_path / "same.kit"
    sign(shop.one, same, keys.read_private(shop.folder / "clinic.pem"), 2)
    with pytest.raises(BundleError, match="version 2, not newer than 2"):
        shop.install(same)
    shop.install(shop.two)  # the very same may be installed again


def test_rolling_back_does_not_open_the_door_to_old_versions(shop: Shop, tmp_path: Path):
    shop.install(shop.one)
    shop.install(shop.two)
    update.rollback(shop.home, proven)
    older = tmp_path / "older.kit"
    sign(shop.one, older, keys.read_private(shop.folder / "clinic.pem"), 1)
    assert shop.state.newest == 2
    shop.install(shop.two)
    assert shop.in_use() == 2


def test_unsigned_needs_a_flag_and_is_shown(shop: Shop):
    shop.install(shop.two)
    with pytest.raises(BundleError, match="not signed, and only clinic is trusted"):
        shop.install(shop.unsigned)
    assert shop.in_use() == 2
    state = shop.install(shop.unsigned, allow_unsigned=True)
    assert state.current is not None
    assert (state.current.signature, state.newest) == ("unsigned", 2)
    assert slots.open_current(shop.home)[0].signature == "unsigned"


def test_without_a_pinned_key_a_flag_is_asked_for_as_well(shop: Shop):
    (shop.home / "keys" / "clinic.pub").unlink()
    for path in (shop.one, shop.unsigned):
        with pytest.raises(BundleError, match="no key is pinned here"):
            shop.install(path)


def test_a_key_that_is_taken_away_takes_its_models_with_it(shop: Shop):
    shop.install(shop.one)
    (shop.home / "keys" / "clinic.pub").unlink()
    with pytest.raises(BundleError, match="unknown key"):
        slots.open_current(shop.home)


@pytest.mark.parametrize("error", [BundleError, MissingError])
def test_what_fails_its_self_check_leaves_all_as_it_was(shop: Shop, error: type[Exception]):
    shop.install(shop.one)
    before = shop.state

    def fails(bundle: Bundle) -> None:
        assert shop.state.trying is not None
        raise error("other scores")

    with pytest.raises(error, match=r"other scores\. Not installed; what was in use stays"):
        update.install(shop.home, shop.two, fails)
    assert shop.state == before
    assert len(list((shop.home / "slots").iterdir())) == 1
    assert shop.in_use() == 1


def test_a_model_that_gives_other_scores_here_is_not_installed(shop: Shop, tmp_path: Path):
    found = open_bundle(shop.unsigned)
    vectors = golden.parse(found.golden, found.contract)
    other = dataclasses.replace(vectors, logits=vectors.logits[:, ::-1])
    pack(tmp_path / "a.kit", found.contract, found.model, found.card, other.to_json())
    with pytest.raises(BundleError, match="other scores here than where it was made"):
        shop.install(tmp_path / "a.kit", allow_unsigned=True)
    assert shop.state.current is None


def test_a_damaged_model_gives_way_to_the_one_before(shop: Shop):
    shop.install(shop.one)
    state = shop.install(shop.two)
    assert state.current is not None
    (shop.home / "slots" / f"{state.current.sha256}.kit").write_bytes(b"rotten")
    found, note = slots.open_current(shop.home)
    assert found.version == 1
    assert "The model before is in use instead" in note
    shop.install(shop.two)
    assert shop.in_use() == 2


def test_a_file_that_was_exchanged_is_not_used(shop: Shop):
    state = shop.install(shop.unsigned, allow_unsigned=True)
    assert state.current is not None
    shutil.copy(shop.two, shop.home / "slots" / f"{state.current.sha256}.kit")
    with pytest.raises(BundleError, match="not what was installed"):
        slots.open_current(shop.home)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"format": 1}', '{"format": 2, "newest": 0}'),
        '{"format":1,"current":{},"previous":null,"trying":null,"newest":0}',
        '{"format":1,"current":null,"previous":null,"trying":null,"newest":0,"more":1}',
        '{"format":1,"current":null,"previous":null,"trying":null,"newest":true}',
        '{"format":1,"current":{"sha256":"../x","version":1,"signature":"","allow_unsigned":true,'
        '"installed":""},"previous":null,"trying":null,"newest":0}',
    ],
)
def test_a_damaged_state_is_said(shop: Shop, text: str):
    (shop.home / "state.json").write_text(text)
    with pytest.raises(BundleError, match=r"state\.json is damaged"):
        slots.read(shop.home)


def test_two_installations_do_not_meet(shop: Shop):
    def meanwhile(bundle: Bundle) -> None:
        with pytest.raises(StorageError, match="another installation is going on"):
            update.install(shop.home, shop.two, proven)

    update.install(shop.home, shop.one, meanwhile)
    assert shop.in_use() == 1


def test_opening_writes_nothing(shop: Shop):
    shop.install(shop.one)
    before = {path: path.stat().st_mtime_ns for path in shop.home.rglob("*")}
    slots.open_current(shop.home)
    assert {path: path.stat().st_mtime_ns for path in shop.home.rglob("*")} == before


class PowerCutError(BaseException):
    """No code after it runs on a real device."""


class Disk:
    """Counts what is written, and from one point on writes nothing more.

    A file that is being written at that point is left half.
    """

    def __init__(self, folder: Path, cut: int, half: bool) -> None:
        self.folder, self.cut, self.half, self.done = folder, cut, half, 0

    def slow(self, write: Callable) -> Callable:
        def instead(*given: object, **named: object) -> object:
            self.done += 1
            if self.done == self.cut and self.half:
                write(*given, **named)
                for path in self.folder.rglob(".*.tmp*"):
                    os.truncate(path, path.stat().st_size // 2)
            if self.done >= self.cut:
                raise PowerCutError
            return write(*given, **named)

        return instead

    def spoil(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in (
            *((os, "open"), (os, "replace"), (os, "fsync"), (shutil, "copyfileobj")),
            *((os, "unlink"), (Path, "unlink"), (Path, "mkdir")),
        ):
            patch.setattr(owner, name, self.slow(getattr(owner, name)))


def cut_at_every_point(home: Path, act: Callable[[], object], after: Callable[[], None]) -> int:
    """Let the power fail at each write of `act` in turn; the number of points."""
    for cut in range(1, 100):
        for half in (False, True):
            with pytest.MonkeyPatch.context() as patch:
                disk = Disk(home, cut, half)
                disk.spoil(patch)
                try:
                    act()
                except PowerCutError:
                    pass
                else:
                    return cut - 1
            after()
    raise AssertionError("it never ended")


def test_a_power_cut_at_any_point_of_an_update_leaves_the_old_or_the_new_model(
    shop: Shop, tmp_path: Path
):
    shop.install(shop.one)
    begin = tmp_path / "begin"
    shutil.copytree(shop.home, begin)
    seen = []

    def after() -> None:
        seen.append(shop.in_use())
        assert seen[-1] in (1, 2)
        shop.install(shop.two)  # and the next try succeeds
        assert shop.in_use() == 2
        assert len(list((shop.home / "slots").iterdir())) == 2
        assert shop.state.trying is None
        shutil.rmtree(shop.home)
        shutil.copytree(begin, shop.home)

    points = cut_at_every_point(shop.home, lambda: shop.install(shop.two), after)
    assert points >= 24  # four files, each opened, synced, renamed, and its folder opened, synced
    assert seen == sorted(seen)  # old until the switch, new from then on
    assert set(seen) == {1, 2}


def test_a_power_cut_at_any_point_of_the_first_installation(shop: Shop):
    def after() -> None:
        if shop.state.current is not None:
            assert shop.in_use() == 1
        shop.install(shop.one)
        assert shop.in_use() == 1
        shutil.rmtree(shop.home)
        keys.pin(shop.home / "keys", shop.folder / "clinic.pub")

    assert cut_at_every_point(shop.home, lambda: shop.install(shop.one), after) >= 24


def test_a_power_cut_at_any_point_of_a_roll_back(shop: Shop, tmp_path: Path):
    shop.install(shop.one)
    shop.install(shop.two)
    begin = tmp_path / "begin"
    shutil.copytree(shop.home, begin)
    seen = []

    def after() -> None:
        seen.append(shop.in_use())
        shutil.rmtree(shop.home)
        shutil.copytree(begin, shop.home)

    assert cut_at_every_point(shop.home, lambda: update.rollback(shop.home, proven), after) >= 12
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {1, 2}


def test_a_copy_that_is_not_what_was_checked_replaces_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    shop.install(shop.one)
    before, copy = shop.state, shutil.copyfileobj

    def flip(given: BinaryIO, taken: BinaryIO) -> None:
        copy(given, taken)
        taken.seek(1000)
        taken.write(b"\xff")

    monkeypatch.setattr(shutil, "copyfileobj", flip)
    for source in (shop.one, shop.two):  # the one in use, and a new one
        with pytest.raises(BundleError, match="another than what was checked"):
            shop.install(source)
        assert shop.state == before
        assert shop.in_use() == 1
        assert len(list((shop.home / "slots").iterdir())) == 1


def test_what_is_installed_may_be_read_by_all_whatever_the_umask(shop: Shop):
    shutil.rmtree(shop.home)
    before = os.umask(0o077)
    try:
        keys.pin(shop.home / "keys", shop.folder / "clinic.pub")
        shop.install(shop.one)
    finally:
        os.umask(before)
    found = {
        str(path.relative_to(shop.home)): stat.S_IMODE(path.stat().st_mode)
        for path in (shop.home, *shop.home.rglob("*"))
    }
    assert found.pop("lock") == 0o600
    for name in (".", "slots", "keys"):
        assert found.pop(name) == 0o755, name
    assert found.keys() >= {"state.json", "trial.json", "keys/clinic.pub"}
    assert set(found.values()) == {0o644}, found


def test_a_folder_that_is_there_keeps_its_rights(shop: Shop):
    (shop.home / "slots").mkdir()
    for name in (".", "slots"):
        (shop.home / name).chmod(0o700)
    shop.install(shop.one)
    for name in (".", "slots"):
        assert stat.S_IMODE((shop.home / name).stat().st_mode) == 0o700


def test_a_kill_in_the_middle_of_the_self_check_leaves_the_old_model(shop: Shop):
    shop.install(shop.one)
    code = (
        "import os, sys; from pathlib import Path; from dermedge import update\n"
        "kill = lambda bundle: os.kill(os.getpid(), 9)\n"
        "update.install(Path(sys.argv[1]), Path(sys.argv[2]), kill)"
    )
    done = subprocess.run([sys.executable, "-c", code, shop.home, shop.two], check=False)
    assert done.returncode == -9
    assert shop.in_use() == 1
    assert shop.state.trying is not None
    assert shop.state.trying.version == 2
    shop.install(shop.two)
    assert shop.in_use() == 2


def test_a_full_disk_leaves_the_old_model(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.install(shop.one)
    before = shop.state

    def full(*given: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(StorageError, match="No space left"):
            shop.install(shop.two)
    assert shop.state == before
    assert shop.in_use() == 1


@pytest.mark.parametrize("data", [b"", b"rotten", None])
def test_what_is_no_bundle_changes_nothing(shop: Shop, tmp_path: Path, data: bytes | None):
    shop.install(shop.one)
    path = tmp_path / "a.kit"
    if data is None:
        with zipfile.ZipFile(path, "w") as archived:
            archived.writestr("../../evil", "x")
    else:
        path.write_bytes(data)
    with pytest.raises(BundleError):
        shop.install(path, allow_unsigned=True)
    assert shop.in_use() == 1


def test_a_model_of_which_three_processes_die_gives_way_to_the_one_before(shop: Shop):
    shop.install(shop.one)
    with trial.use(shop.home, slots.open_current(shop.home)[0].sha256):
        pass  # the first has proven itself
    shop.install(shop.two)
    digest = slots.open_current(shop.home)[0].sha256
    for _ in range(trial.STARTS):
        assert shop.in_use() == 2
        with pytest.raises(PowerCutError), trial.use(shop.home, digest):
            raise PowerCutError
    found, note = slots.open_current(shop.home)
    assert found.version == 1
    assert "3 processes died of the model" in note
    with trial.use(shop.home, found.sha256):
        pass  # says nothing of the other
    assert slots.open_current(shop.home)[0].version == 1
    shop.install(shop.two)  # a new trial
    assert shop.in_use() == 2


def test_what_is_kept_to_go_back_to_is_the_model_that_was_in_use(shop: Shop, tmp_path: Path):
    shop.install(shop.one)
    current = shop.install(shop.two).current
    assert current is not None
    (shop.home / "slots" / f"{current.sha256}.kit").write_bytes(b"rotten")
    three = tmp_path / "three.kit"
    sign(shop.two, three, keys.read_private(shop.folder / "clinic.pem"), 3)
    state = shop.install(three)
    assert state.previous is not None
    assert state.previous.version == 1
    update.rollback(shop.home, proven)
    assert shop.in_use() == 1


def test_a_trial_ends_with_the_first_use_that_goes_well(shop: Shop):
    shop.install(shop.one)
    digest = slots.open_current(shop.home)[0].sha256
    with pytest.raises(PowerCutError), trial.use(shop.home, digest):
        raise PowerCutError
    assert json.loads((shop.home / "trial.json").read_text())["starts"] == 1
    with trial.use(shop.home, digest):
        pass
    assert not (shop.home / "trial.json").exists()


def test_the_only_model_is_used_whatever_its_trial(shop: Shop):
    shop.install(shop.one)
    digest = slots.open_current(shop.home)[0].sha256
    for _ in range(5):
        with pytest.raises(PowerCutError), trial.use(shop.home, digest):
            raise PowerCutError
    assert shop.in_use() == 1


def test_a_trial_on_a_disk_that_is_read_only_counts_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    shop.install(shop.one)
    digest = slots.open_current(shop.home)[0].sha256

    def shut(*given: object) -> None:
        raise StorageError("read-only")

    monkeypatch.setattr(atomic, "publish_text", shut)
    with trial.use(shop.home, digest):
        pass
    assert not trial.failed(shop.home, digest)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": 1, "starts": "x"}'])
def test_a_damaged_trial_is_no_trial(shop: Shop, text: str):
    shop.install(shop.one)
    (shop.home / "trial.json").write_text(text)
    assert not trial.failed(shop.home, slots.open_current(shop.home)[0].sha256)
    assert shop.in_use() == 1
