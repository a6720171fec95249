"""What the user may not read: one line that says what, whose it is, and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge.permission import explain, in_words

# Root reads everything, unless these rights are taken from it.
_DROP = "-dac_override,-dac_read_search"
_LESS = ("setpriv", "--bounding-set", _DROP, "--inh-caps", _DROP)


@pytest.fixture(scope="module")
def less() -> tuple[str, ...]:
    """What runs a command as a user who may not read everything."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs users")
    if os.geteuid() != 0:
        return ()
    try:
        subprocess.run([*_LESS, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("root can't give up its rights here")
    return _LESS


@pytest.fixture
def work(tmp_path: Path, tiny_bundles: tuple[Path, Path], photo: np.ndarray) -> Path:
    """shut.kit, of which nobody may read a byte, small.kit, and shut/, which nobody may enter."""
    shut = tmp_path / "shut"
    shut.mkdir()
    for name in ("small.kit", "shut.kit", "shut/inside.kit"):
        shutil.copy(tiny_bundles[1], tmp_path / name)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    shutil.copy(tmp_path / "photo.png", shut)
    (tmp_path / "shut.kit").chmod(0)
    shut.chmod(0)
    return tmp_path


def kit(less: tuple[str, ...], work: Path, *words: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [*less, sys.executable, "-m", "dermedge", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=work,
        env={**os.environ, "PYTHONPATH": path, "DERMKIT_HOME": str(work / "home")},
        timeout=120,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", "small.kit", "shut/photos"),
        ("camera", "small.kit", "--no-window", "--source", "shut/film.mp4"),
        ("camera", "small.kit", "--no-window", "--source", "shut/photos"),
        ("evaluate", "small.kit", "shut/photos"),
        ("records", "list", "shut/records/today.jsonl"),
        ("records", "delete", "shut/records/today.jsonl", "--yes"),
        ("records", "decrypt", "shut/records/today.jsonl", "--out", "out"),
        ("records", "export", "shut/records/today.jsonl", "--out", "out.csv"),
    ],
)
def test_a_folder_that_may_not_be_entered_is_one_line(
    less: tuple[str, ...], work: Path, words: tuple[str, ...]
):
    done = kit(less, work, *words)
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("kit: shut/")
    assert "Permission denied" in line


def test_it_says_whose_the_folder_is_that_lets_nobody_through(less: tuple[str, ...], work: Path):
    said = kit(less, work, "camera", "small.kit", "--no-window", "--source", "shut/a/b.mp4").stderr
    assert f"{work / 'shut'} belongs to " in said
    assert "(d---------); run it as a user who may, or change that" in said


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", "shut/inside.kit", "photo.png"),
        ("bundle", "verify", "shut/inside.kit"),
        ("bundle", "install", "shut/inside.kit", "--allow-unsigned"),
    ],
)
def test_a_bundle_that_may_not_be_read_is_not_called_damaged(
    less: tuple[str, ...], work: Path, words: tuple[str, ...]
):
    done = kit(less, work, *words)
    assert done.returncode == 5, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("kit: shut/inside.kit: Permission denied. ")
    assert f"{work / 'shut'} belongs to " in line


def test_an_installed_model_that_may_not_be_read_gives_way_to_the_one_before(
    less: tuple[str, ...], work: Path, tiny_bundles: tuple[Path, Path]
):
    for path in tiny_bundles:
        done = kit((), work, "bundle", "install", path, "--allow-unsigned")
        assert done.returncode == 0, done.stderr
    newest = max((work / "home" / "slots").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.chmod(0)
    done = kit(less, work, "diagnose", "installed", "photo.png")
    assert done.returncode == 0, done.stderr
    assert f"{newest}: Permission denied" in done.stderr
    assert "The model before is in use instead" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", "small.kit", "x" * 300),
        ("camera", "small.kit", "--no-window", "--source", "x" * 300),
        ("records", "list", "x" * 300),
    ],
)
def test_a_name_that_is_too_long_is_one_line(work: Path, words: tuple[str, ...]):
    done = kit((), work, *words)
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("kit: xxx")
    assert "File name too long" in line


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_place_where_no_file_can_be_made_is_one_line(work: Path):
    (work / "today.jsonl").write_text('{"sequence": 1}\n')
    done = kit((), work, "records", "export", "today.jsonl", "--out", "/proc/x.csv")
    assert done.returncode in (4, 8), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("kit: /proc/")


def test_of_other_faults_nothing_is_said():
    assert in_words(OSError(5, "Input/output error", "x")) is None
    assert in_words(FileNotFoundError()) is None


@pytest.mark.parametrize("name", [None, 7])
def test_a_refusal_without_a_name_is_told_too(name: object):
    error = PermissionError(1, "Operation not permitted", name)
    assert explain(error) == "Operation not permitted; run it as a user who may"
    assert explain(PermissionError()) == "Permission denied; run it as a user who may"


def test_what_is_not_there_yet_belongs_to_nobody(tmp_path: Path):
    error = PermissionError(13, "Permission denied", os.fsencode(tmp_path / "new"))
    assert explain(error) == (
        f"{tmp_path / 'new'}: Permission denied; run it as a user who may, or change that"
    )
