"""Faults of a device against the running program: what happens, and that nothing else is lost."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from dermedge import history, pictures, slots
from dermedge.bundle import open_bundle
from dermedge.errors import InputError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, mounts and limits")

KIT = ("-m", "dermedge")
SMALL = ("--size", "160x120", "--no-window", "--threads", "1", "--json")
TIMEOUT_S = 120

# Before the third call of what is named, the process is asked to stop; then the call goes on.
STOPPED_INSIDE = """
import itertools, os, signal, sys
from importlib import import_module
module, kind, name = sys.argv.pop(1).split(":")
owner, calls = getattr(import_module(module), kind), itertools.count(1)
call = getattr(owner, name)
def stopped(*given, **more):
    if next(calls) == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return call(*given, **more)
setattr(owner, name, stopped)
from dermedge.cli import main
main()
"""

# Every wall clock of the process jumps 20 years back after a few looks; time.monotonic can't.
CLOCK_BACK = """
import datetime, itertools, time
looks, real, now = itertools.count(), datetime.datetime, time.time
class Jumping(real):
    @classmethod
    def now(cls, tz=None):
        found = real.now(tz)
        return found.replace(year=found.year - 20, day=1) if next(looks) >= 4 else found
datetime.datetime = Jumping
time.time = lambda: now() - 20 * 365 * 86_400
from dermedge.cli import main
main()
"""


def command(*arguments: object, before: tuple[str, ...] = KIT) -> list[str]:
    return [sys.executable, *before, *map(str, arguments)]


def environment() -> dict[str, str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def run(
    *arguments: object, before: tuple[str, ...] = KIT, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of kit to its end."""
    return subprocess.run(
        command(*arguments, before=before),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=TIMEOUT_S,
        preexec_fn=limit,
    )


@contextmanager
def running(
    *arguments: object, stdout: int | IO[str] = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A command of kit while it runs; killed at the end if it still does."""
    with subprocess.Popen(
        command(*arguments), env=environment(), stdout=stdout, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(output: str) -> list[dict[str, Any]]:
    """The judgements on standard output."""
    return [json.loads(line) for line in output.splitlines()]


def expect_whole(path: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, once it is clear that they hold every judgement that was told, in order."""
    found = list(history.read(path))
    assert [record["sequence"] for record in found] == list(range(1, len(found) + 1))
    by_number = {record["sequence"]: record for record in found}
    assert [by_number[line["sequence"]] for line in lines] == lines
    return found


@pytest.fixture
def disk(mounted: Callable[[int], Path]) -> Path:
    """A file system of its own, 96 KiB; skipped where none may be mounted."""
    return mounted(96)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def test_whatever_a_camera_does_every_judgement_is_recorded(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    # The picture stands still for more than the 5 s after which it is called frozen.
    script = "fake:unplug@8+1,resize@16+4,corrupt@24+2,slow@30+2,corrupt@36+3,freeze@50+170,end@235"
    path = tmp_path / "record.jsonl"
    done = run("camera", tiny_bundles[1], "--source", script, "--fps", 30, *SMALL, "--record", path)
    assert done.returncode == 0, done.stderr
    lines = told(done.stdout)
    assert expect_whole(path, lines) == lines
    for said in (
        "it was unplugged. Opening it again until it is back",
        "3 in a row were damaged. Opening it again until it is back",
        "frames are 80 x 60 pixels from now on",
        "frames are 160 x 120 pixels from now on",
        "the picture is frozen, nothing is judged until it moves",
        "the picture moves again",
        "gone 2 times",
    ):
        assert said in done.stderr
    assert done.stderr.count("is back after") == 2
    frozen = [line for line in lines if "frozen" in line["quality"]]
    assert frozen
    assert {line["decision"] for line in frozen} == {"not assessable"}
    assert lines[-1]["quality"] == "ok"
    assert [line["frame"] for line in lines] == sorted({line["frame"] for line in lines})


def fill(folder: Path, bundle: Path, *more: object, **options: Any) -> Path:
    """Judge until the disk is full; what was told is in the record, which is returned."""
    path = folder / "record.jsonl"
    camera = ("camera", bundle, "--source", "fake:end@5000", "--fps", 1000, *SMALL)
    done = run(*camera, "--record", path, *more, **options)
    assert done.returncode == 8, done.stderr
    assert re.fullmatch(r"kit: .*(No space left on device|File too large).*\n", done.stderr)
    lines = told(done.stdout)
    assert lines
    # One more may be recorded: the one whose picture found no room, or that could not be told.
    assert 0 <= len(expect_whole(path, lines)) - len(lines) <= 1
    return path


def expect_to_go_on(path: Path, bundle: Path) -> None:
    """With room again, the next run numbers on, and at most one torn line is left between."""
    before = list(history.read(path))
    camera = ("camera", bundle, "--source", "fake:", "--frames", 2, *SMALL)
    done = run(*camera, "--record", path)
    assert done.returncode == 0, done.stderr
    assert list(history.read(path)) == [*before, *told(done.stdout)]
    facts = history.facts(history.scan(path))
    assert (facts.missing, facts.last) == (0, len(before) + 2)
    assert facts.torn <= 1


@pytest.mark.parametrize("more", [(), ("--keep-pictures",)])
def test_a_full_disk_ends_the_camera_with_its_reason_and_costs_what_did_not_fit(
    disk: Path, tiny_bundles: tuple[Path, Path], more: tuple[str, ...]
):
    path = fill(disk, tiny_bundles[1], *more)
    folder = pictures.beside(path)
    for each in pictures.find(folder):
        assert each.path.read_bytes().endswith(b"\xff\xd9")  # whole or not there
    assert not list(folder.glob(".*"))
    remount(disk, "size=1m")
    expect_to_go_on(path, tiny_bundles[1])


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, tiny_bundles: tuple[Path, Path]):
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (5_000, 5_000))
    expect_to_go_on(fill(tmp_path, tiny_bundles[1], limit=limit), tiny_bundles[1])


def test_on_a_read_only_disk_it_does_not_begin_to_judge_what_it_can_not_record(
    disk: Path, tiny_bundles: tuple[Path, Path]
):
    path = disk / "record.jsonl"
    camera = ("camera", tiny_bundles[1], "--source", "fake:", "--frames", 2, *SMALL)
    assert run(*camera, "--record", path).returncode == 0
    before = path.read_bytes()
    remount(disk, "ro")
    done = run(*camera, "--record", path)
    assert done.returncode == 8
    assert done.stdout == ""
    assert "Read-only file system" in done.stderr
    assert path.read_bytes() == before


def test_a_model_on_a_read_only_disk_goes_on_judging(disk: Path, tiny_bundles: tuple[Path, Path]):
    installed = run("bundle", "install", tiny_bundles[1], "--allow-unsigned", "--home", disk)
    assert installed.returncode == 0, installed.stderr
    remount(disk, "ro")
    camera = ("camera", "installed", "--home", disk, "--source", "fake:", "--frames", 2, *SMALL)
    done = run(*camera)
    assert done.returncode == 0, done.stderr
    assert len(told(done.stdout)) == 2
    refused = run("bundle", "install", tiny_bundles[0], "--allow-unsigned", "--home", disk)
    assert refused.returncode == 8
    assert slots.open_current(disk)[0].sha256 == open_bundle(tiny_bundles[1]).sha256


def test_a_clock_that_jumps_back_shows_in_the_time_and_nowhere_else(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    path = tmp_path / "record.jsonl"
    camera = ("camera", tiny_bundles[1], "--source", "fake:", "--frames", 9, *SMALL)
    more = ("--record", path, "--keep-pictures")
    done = run(*camera, *more, before=("-c", CLOCK_BACK))
    assert done.returncode == 0, done.stderr
    lines = told(done.stdout)
    assert expect_whole(path, lines) == lines
    years = [int(line["time"][:4]) for line in lines]
    assert years == sorted(years, reverse=True)
    assert years[0] - years[-1] == 20
    assert all(0 < line["age_ms"] < TIMEOUT_S * 1000 for line in lines)
    assert all(0 < line["latency_ms"] < TIMEOUT_S * 1000 for line in lines)
    assert {line["quality"] for line in lines} == {"ok"}  # neither frozen nor silent
    kept = [each.path.name for each in pictures.find(pictures.beside(path))]
    assert kept == [line["picture"] for line in lines]  # none is taken for one that is too old
    assert "1 jumps back of the clock" in run("records", "list", path).stderr


@pytest.mark.parametrize(
    "inside",
    [
        "dermedge.diagnose:Diagnostician:diagnose",
        "dermedge.model:Classifier:run",
        "dermedge.pictures:Pictures:take",
        "dermedge.record:Journal:append",
    ],
)
def test_sigterm_in_the_middle_of_a_judgement_ends_it_after_that_one(
    tiny_bundles: tuple[Path, Path], tmp_path: Path, inside: str
):
    path = tmp_path / "record.jsonl"
    camera = ("camera", tiny_bundles[1], "--source", "fake:", *SMALL, "--record", path)
    done = run(inside, *camera, "--keep-pictures", before=("-c", STOPPED_INSIDE))
    assert done.returncode == 0, done.stderr
    lines = told(done.stdout)
    assert len(lines) == 3
    assert expect_whole(path, lines) == lines
    assert None not in history.scan(path)  # no torn line
    kept = [each.path.name for each in pictures.find(pictures.beside(path))]
    assert kept == [line["picture"] for line in lines]
    assert "3 frames judged" in done.stderr


def test_kill_9_costs_at_most_the_judgement_in_progress(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    path, lines = tmp_path / "record.jsonl", []
    camera = ("camera", tiny_bundles[1], "--source", "fake:", "--fps", 200, *SMALL)
    for judged in (1, 7, 23):
        with running(*camera, "--record", path) as process:
            assert process.stdout is not None
            heard = [process.stdout.readline() for _ in range(judged)]
            process.kill()
            heard += process.stdout.read().splitlines(keepends=True)
            assert process.wait(TIMEOUT_S) == -signal.SIGKILL
        lines += [json.loads(line) for line in heard if line.endswith("\n")]
        found = expect_whole(path, lines)
        # One may have been recorded and not yet told.
        assert found[-1]["sequence"] - lines[-1]["sequence"] in (0, 1)


def wait_for(record: Path, sha256: str) -> None:
    """Until this model has judged; fails if it never does."""
    give_up = time.monotonic() + TIMEOUT_S
    while time.monotonic() < give_up:
        with suppress(InputError):  # not there yet
            if any(each["bundle"] == sha256 for each in deque(history.read(record), 1)):
                return
        time.sleep(0.1)
    pytest.fail(f"{sha256} never judged")


def test_models_are_swapped_under_a_running_camera(tiny_bundles: tuple[Path, Path], tmp_path: Path):
    home, path = tmp_path / "home", tmp_path / "record.jsonl"
    old, new = (open_bundle(each).sha256 for each in tiny_bundles)
    with_home = ("--allow-unsigned", "--home", home)
    assert run("bundle", "install", tiny_bundles[0], *with_home).returncode == 0
    source = ("--source", "fake:", "--fps", 500)  # more frames than it can judge
    camera = ("camera", "installed", "--home", home, *source, *SMALL, "--record", path)
    changes = (
        (("install", tiny_bundles[1], *with_home), new),
        (("rollback", "--home", home), old),
        (("rollback", "--home", home), new),
    )
    with (tmp_path / "told").open("w+") as output:  # a pipe that nobody reads would stop it
        with running(*camera, stdout=output) as process:
            wait_for(path, old)
            for change, wanted in changes:
                done = run("bundle", *change)
                assert done.returncode == 0, done.stderr
                wait_for(path, wanted)
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, complaints
        output.seek(0)
        lines = told(output.read())
    assert expect_whole(path, lines) == lines
    models = [model for model, _ in itertools.groupby(line["bundle"] for line in lines)]
    assert models == [old, new, old, new]
    assert complaints.count("has taken over") == 3
    frames = [line["frame"] for line in lines]
    assert frames == sorted(set(frames))
