"""kill -9 at any moment: at most the judgement in progress is lost, and no earlier one changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

# Hundreds of processes, each killed at a random moment, until the journal was rotated too. They are
# forked from one that has loaded it already, so that a kill costs milliseconds. Arguments: folder,
# seed, least number of kills.
AT_RANDOM = """
import itertools, os, random, signal, sys, time
from pathlib import Path
from dermedge import history
from dermedge.record import Journal

os.fsync = lambda file: None  # a kill leaves the kernel's memory alone; many more lines a kill
path, seed, kills = Path(sys.argv[1]) / "record.jsonl", int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
before, last = {}, 0
for kill in itertools.count(1):
    told, tell = os.pipe()
    writer = os.fork()
    if writer == 0:
        with Journal(path, max_bytes=16_000, background=bool(seed % 2)) as journal:
            while True:
                done = journal.append({"kill": kill, "pad": "x" * random.randrange(300)})
                os.write(tell, done["sequence"].to_bytes(8, "big"))
    os.close(tell)
    time.sleep(random.uniform(0, 0.025))
    os.kill(writer, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL
    with open(told, "rb") as stream:
        acknowledged = int.from_bytes(stream.read()[-8:], "big")
    if not history.parts(path)[-1].exists() and len(history.parts(path)) == 1:
        assert not before and not acknowledged
        continue
    lines = list(history.scan(path))
    now = {line["sequence"]: line for line in lines if line is not None}
    last = max([*now, 0])
    assert list(now) == list(range(last - len(now) + 1, last + 1)), list(now)
    assert max(acknowledged, *before, 0) <= last
    assert last <= acknowledged + 1 or not acknowledged
    assert all(now[number] == before[number] for number in now.keys() & before.keys())
    before = now
    if kill >= kills and last > len(before) > 0:  # it was rotated, too, however busy the machine
        break
print(len(before), last)
"""

# A process that is killed at its n-th call that changes a file, for every n until it gets through;
# of a write, half is written first. Argument: folder.
AT_EVERY_STEP = """
import itertools, os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from dermedge import history, pictures
from dermedge.record import Journal
from dermedge.recorder import Keep, Recorder

os.fsync = lambda file: None  # a kill leaves the kernel's memory alone
TIME = datetime.now(timezone.utc)
IMAGE = np.full((16, 16, 3), 120, np.uint8)

def run(path, deadly, tell):
    steps = itertools.count(1)
    def wrap(name):
        call = getattr(os, name)
        def counted(*given, **more):
            if next(steps) == deadly:
                if name == "write":
                    call(given[0], given[1][: len(given[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **more)
        setattr(os, name, counted)
    send = os.write
    for name in ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir"):
        wrap(name)
    keep = Keep(None, max_bytes=2500)
    with Recorder(path, max_bytes=1600, keep=keep) as recorder:
        for number in range(8):
            done = recorder.add({"number": number, "pad": "x" * 60}, IMAGE, TIME)
            send(tell, done["sequence"].to_bytes(8, "big"))

deaths = 0
for deadly in range(1, 10_000):
    path = Path(sys.argv[1]) / str(deadly) / "record.jsonl"
    with Journal(path, max_bytes=1600) as journal:
        for number in range(14):
            journal.append({"pad": "x" * 60})
    earlier = {line["sequence"]: line for line in history.read(path)}
    told, tell = os.pipe()
    writer = os.fork()
    if writer == 0:
        run(path, deadly, tell)
        os._exit(0)
    os.close(tell)
    code = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1])
    with open(told, "rb") as stream:
        acknowledged = int.from_bytes(stream.read()[-8:], "big") or 14
    now = {line["sequence"]: line for line in history.read(path)}
    last = max(now)
    assert list(now) == list(range(last - len(now) + 1, last + 1)), (deadly, list(now))
    assert acknowledged <= last <= acknowledged + 1, (deadly, acknowledged, last)
    assert all(now[n] == earlier[n] for n in now.keys() & earlier.keys()), deadly
    assert len(now) >= 5, (deadly, len(now))
    with Recorder(path, max_bytes=1600, keep=Keep(None, max_bytes=2500)) as recorder:
        added = recorder.add({}, IMAGE, TIME)
    assert added["sequence"] == last + 1, deadly
    folder = pictures.beside(path)
    kept = {each.path.name: each for each in pictures.find(folder)}
    assert {each.name for each in folder.iterdir()} == set(kept), deadly  # nothing half-written
    assert all(each.path.read_bytes().endswith(b"\\xff\\xd9") for each in kept.values()), deadly
    named = {line["sequence"]: line.get("picture") for line in history.read(path)}
    gone = {number for number in sorted(named)[-2:] if named[number] not in kept}
    # Of the last one before the kill the picture may have been on its way.
    assert gone <= {last}, (deadly, named, sorted(kept))
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    deaths += 1
print(deaths)
"""


def run(script: str, *arguments: object) -> list[int]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_it_survives_hundreds_of_kills_at_random_moments(tmp_path: Path, seed: int):
    kept, last = run(AT_RANDOM, tmp_path, seed, 100)
    assert last > kept > 0


def test_it_survives_a_kill_at_every_step_that_touches_a_file(tmp_path: Path):
    (deaths,) = run(AT_EVERY_STEP, tmp_path)
    assert deaths > 60
