"""Root installs models into a folder that a service owns: what that one plants leads nowhere."""

import ctypes
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dermedge import atomic, choice, erasing, golden, history, keys, links, slots, update
from dermedge.errors import KitError, StorageError
from dermedge.pictures import Pictures
from dermedge.record import Journal

SERVICE = 61_234  # in the range that systemd gives to a DynamicUser

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act for another user"
)


def plant(link: Path, target: Path, owner: int = SERVICE) -> None:
    """As the service could: in its own folder it may put a link to anything."""
    link.parent.mkdir(parents=True, exist_ok=True)
    os.chown(link.parent, SERVICE, SERVICE)
    link.symlink_to(target)
    os.lchown(link, owner, owner)


def install(home: Path, bundle: Path) -> None:
    update.install(home, bundle, lambda found: golden.check(found, 1), allow_unsigned=True)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder that only root may change."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "shadow").write_text("root only")
    return folder


def expect_unharmed(victim: Path) -> None:
    assert [each.name for each in victim.iterdir()] == ["shadow"]
    assert (victim / "shadow").read_text() == "root only"


@needs_root
@pytest.mark.parametrize("name", ["slots", "keys"])
def test_a_folder_that_is_a_link_is_refused(
    tmp_path: Path, victim: Path, tiny_bundles: tuple[Path, Path], name: str
):
    plant(tmp_path / "home" / name, victim)
    with pytest.raises(StorageError, match=f"{name} is a link that another user has made"):
        install(tmp_path / "home", tiny_bundles[0])
    expect_unharmed(victim)


@needs_root
def test_no_key_is_pinned_through_a_link(tmp_path: Path, victim: Path):
    keys.make(tmp_path, "clinic")
    plant(tmp_path / "home" / "keys", victim)
    with pytest.raises(StorageError, match="keys is a link"):
        keys.pin(tmp_path / "home" / "keys", tmp_path / "clinic.pub")
    expect_unharmed(victim)


def exchange(one: Path, other: Path) -> None:
    """Give each the other's name, at once; what `mv --exchange` does."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if libc.renameat2(here, bytes(one), here, bytes(other), exchanging):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def swapped(folder: Path, target: Path) -> Iterator[Callable[[], int]]:
    """As fast as it goes, the folder's name leads to `target`, and back; how often it did."""
    link = folder.with_name("link")
    folder.mkdir(parents=True, exist_ok=True)
    plant(link, target)
    try:
        exchange(folder, link)
    except (AttributeError, OSError):
        pytest.skip("this system does not exchange two names at once")
    stop, turns = threading.Event(), [0]

    def attack() -> None:
        while not stop.is_set():
            exchange(folder, link)
            turns[0] += 1

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        yield lambda: turns[0]
    finally:
        stop.set()
        thread.join()


def attacked(folder: Path, target: Path, act: Callable[[], None], tries: int = 200) -> None:
    """Act meanwhile: often, and so that both sides get on."""
    done = tried = 0
    with swapped(folder, target) as turns:
        while tried < tries or done < 5 or turns() < 200:
            tried += 1
            assert tried < 10_000
            with suppress(KitError):
                act()
                done += 1


def pin(home: Path) -> None:
    keys.pin(home / "keys", home.parent / "clinic.pub")


def choose(home: Path) -> None:
    choice.save(home, "0" * 64, choice.here("ai-edge-litert", 1, 12.5))


def tidy(home: Path) -> None:
    update._finish(home, slots.State())


EACH = pytest.mark.parametrize(
    ("name", "act"), [("keys", pin), ("engines", choose), ("slots", tidy)]
)


@needs_root
@EACH
def test_a_link_that_is_planted_right_after_the_look_is_refused(
    tmp_path: Path,
    victim: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    act: Callable[[Path], None],
):
    keys.make(tmp_path, "clinic")
    plant(tmp_path / "home" / name, victim)
    monkeypatch.setattr(links, "refuse", lambda *paths: None)
    with pytest.raises(StorageError, match=f"{name} is a link that another user has made"):
        act(tmp_path / "home")
    expect_unharmed(victim)


@needs_root
@EACH
def test_a_folder_that_becomes_a_link_at_any_moment_leads_nowhere(
    tmp_path: Path, victim: Path, name: str, act: Callable[[Path], None]
):
    keys.make(tmp_path, "clinic")
    old = victim / f"{'0' * 64}.kit"  # which tidying would take for what an installation has left
    old.write_text("root's own")
    attacked(tmp_path / "home" / name, victim, lambda: act(tmp_path / "home"))
    assert old.read_text() == "root's own"
    old.unlink()
    expect_unharmed(victim)


@needs_root
def test_models_are_installed_into_no_folder_that_becomes_a_link(
    tmp_path: Path, victim: Path, tiny_bundles: tuple[Path, Path]
):
    home = tmp_path / "home"
    attacked(home / "slots", victim, lambda: install(home, tiny_bundles[0]), 30)
    expect_unharmed(victim)


@needs_root
def test_what_is_begun_in_a_folder_ends_in_it_wherever_its_name_leads_then(
    tmp_path: Path, victim: Path
):
    folder, aside = tmp_path / "home" / "slots", tmp_path / "home" / "aside"
    with links.held(folder) as held, atomic.stream(folder / "a.kit", folder=held) as stream:
        stream.write(b"begun")
        folder.rename(aside)
        plant(folder, victim)
    assert (aside / "a.kit").read_bytes() == b"begun"
    assert [each.name for each in aside.iterdir()] == ["a.kit"]
    expect_unharmed(victim)


@needs_root
def test_only_a_folder_is_held(tmp_path: Path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("file", "pipe", "nowhere"):
        with pytest.raises(StorageError, match=f"{name} could not be written"):
            links.held(tmp_path / name).__enter__()


@needs_root
def test_a_lock_that_is_a_link_makes_no_file(
    tmp_path: Path, victim: Path, tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    plant(tmp_path / "home" / "lock", victim / "nologin")
    with pytest.raises(StorageError, match="lock is a link"):
        install(tmp_path / "home", tiny_bundles[0])
    monkeypatch.setattr(links, "refuse", lambda *paths: None)  # planted after the look
    with pytest.raises(StorageError, match="symbolic links"):
        install(tmp_path / "home", tiny_bundles[0])
    expect_unharmed(victim)


@needs_root
def test_a_link_in_the_place_of_the_state_is_replaced_not_followed(
    tmp_path: Path, victim: Path, tiny_bundles: tuple[Path, Path]
):
    home = tmp_path / "home"
    install(home, tiny_bundles[0])
    state = (home / "state.json").read_text()
    (home / "state.json").unlink()
    plant(home / "state.json", victim / "shadow")
    slots.write(home, slots.State())
    assert not (home / "state.json").is_symlink()
    assert (home / "state.json").read_text() != state
    expect_unharmed(victim)


@pytest.mark.skipif(not links.NOFOLLOW, reason="needs links")
def test_what_is_put_where_a_temporary_file_will_be_is_not_opened(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(secrets, "token_hex", lambda count: "guessed")
    (tmp_path / ".state.guessed.tmp.json").symlink_to(victim / "shadow")
    with pytest.raises(StorageError, match="File exists"):
        atomic.write_text(tmp_path / "state.json", "{}")
    expect_unharmed(victim)


def test_no_two_temporary_names_are_alike(tmp_path: Path):
    with atomic.whole(tmp_path / "a") as one, atomic.whole(tmp_path / "a") as other:
        assert one != other
        one.touch()
        other.touch()


def test_only_what_installations_leave_is_tidied(tmp_path: Path, tiny_bundles: tuple[Path, Path]):
    left = tmp_path / "slots" / f".{'0' * 64}.abc.tmp.kit"
    older, other = tmp_path / "slots" / f"{'0' * 64}.kit", tmp_path / "slots" / "shadow"
    left.parent.mkdir()
    for path in (left, older, other):
        path.write_text("x")
    install(tmp_path, tiny_bundles[0])
    assert {path.name for path in left.parent.iterdir()} == {
        "shadow",
        f"{slots.open_current(tmp_path)[0].sha256}.kit",
    }


@needs_root
def test_a_link_of_root_s_own_is_followed(tmp_path: Path, tiny_bundles: tuple[Path, Path]):
    (tmp_path / "larger disk").mkdir()
    plant(tmp_path / "home" / "slots", tmp_path / "larger disk", owner=0)
    install(tmp_path / "home", tiny_bundles[0])
    assert len(list((tmp_path / "larger disk").iterdir())) == 1
    slots.open_current(tmp_path / "home")


@needs_root
def test_no_record_and_no_picture_is_written_through_a_link(tmp_path: Path, victim: Path):
    folder = tmp_path / "home"
    plant(folder / "record.jsonl", victim / "nologin")
    plant(folder / ".other.jsonl.lock", victim / "nologin")
    plant(folder / "record.jsonl.pictures", victim)
    with pytest.raises(StorageError, match=r"record\.jsonl is a link"):
        Journal(folder / "record.jsonl")
    with pytest.raises(StorageError, match="symbolic links"):
        Journal(folder / "other.jsonl")
    with pytest.raises(StorageError, match="pictures is a link"):
        Pictures(folder / "record.jsonl.pictures")
    expect_unharmed(victim)


def test_a_link_that_is_planted_after_the_look_is_not_followed(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also by `kit records delete`, which holds the journal while it deletes."""
    journal = tmp_path / "home" / "record.jsonl"
    part = history.part(journal, 1)
    part.parent.mkdir()
    part.write_text('{"sequence": 1}\n')
    looked = Path.is_symlink

    def planted(path: Path) -> bool:
        found = looked(path)
        if path == journal:
            path.symlink_to(victim / "nologin")
        return found

    monkeypatch.setattr(Path, "is_symlink", planted)
    with pytest.raises(StorageError, match="symbolic links"):
        erasing.erase(journal)
    expect_unharmed(victim)
