"""What the camera loop adds to the model: rate, latency, memory; and a cold `kit diagnose`.

Other work on a machine slows whatever runs just then. So the bare interpreter and the loop take
turns, and what counts are ratios of neighbouring turns, and CPU time: `extra_info` in the json.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dermedge import diagnose, scene
from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.image import RGB
from dermedge.live import watch

SIZE = (640, 480)  # of a frame: width, height
FRAMES = 50  # judged in one turn
ROUNDS = 12

RATE = f"{FRAMES} frames of a camera twice as fast as the model, 1 thread"
COLD = "one photograph, a fresh process"
FLOOR = "import numpy, cv2, ai_edge_litert.interpreter"
# A process inherits the peak of the one that forked it, so a small one has to start it.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class Still:
    """A camera that looks at one photograph, with noise; as any, it writes each frame anew."""

    name = "made-up camera"
    interval = 0.0
    skipped = ()

    def __init__(self, frames: list[RGB], period_s: float) -> None:
        self._frames, self._period_s = frames, period_s
        self._shown, self._due = 0, time.monotonic()

    def read(self) -> RGB:
        now = time.monotonic()
        self._due = max(self._due + self._period_s, now)
        time.sleep(self._due - now)
        self._shown += 1
        return self._frames[self._shown % len(self._frames)].copy()

    def close(self) -> None:
        pass


class Clock:
    """Times turns, in seconds a frame: on the wall, and of this thread, where the model runs."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def time(self, turn: Callable[[], None]) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        turn()
        self.wall.append((time.perf_counter() - wall) / FRAMES)
        self.cpu.append((time.thread_time() - cpu) / FRAMES)


class Bare:
    """The peer: resize, set_tensor, invoke, in a plain loop on the raw interpreter."""

    def __init__(self, bundle: Bundle, frames: list[RGB]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=bundle.model, num_threads=1)
        self._interpreter.allocate_tensors()
        given = self._interpreter.get_input_details()[0]
        self._entry, self._dtype = given["index"], given["dtype"]
        self._exit = self._interpreter.get_output_details()[0]["index"]
        self._size, self._frames = (
            (bundle.contract.input.width, bundle.contract.input.height),
            frames,
        )
        self.clock = Clock()

    def turn(self) -> None:
        self.clock.time(self._judge)

    def _judge(self) -> None:
        for i in range(FRAMES):
            frame = self._frames[i % len(self._frames)]
            resized = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
            value = resized[None].astype(self._dtype, copy=False)
            self._interpreter.set_tensor(self._entry, value)
            self._interpreter.invoke()
            self._interpreter.get_tensor(self._exit)


class Loop:
    """`watch`, as `kit camera` runs it, with one thread of the interpreter."""

    def __init__(self, bundle: Bundle, frames: list[RGB], period_s: float) -> None:
        self.judge = Diagnostician(bundle, 1)
        self._frames, self._period_s = frames, period_s
        self.clock = Clock()
        self.ages_ms: list[float] = []
        self.dropped = 0

    def open(self) -> None:
        """Begin, up to the first judgement; between turns no thread of it disturbs the peer."""
        source = Still(self._frames, self._period_s)
        self._seen = watch(source, self.judge, inspect=scene.live)
        next(self._seen)

    def turn(self) -> None:
        self.clock.time(self._judge)

    def close(self) -> None:
        self._seen.close()

    def whole(self) -> None:
        self.open()
        self.turn()
        self.close()

    def _judge(self) -> None:
        seen = list(islice(self._seen, FRAMES))
        self.ages_ms += [sighting.age_ms for sighting in seen]
        self.dropped += seen[-1].dropped


@pytest.fixture(scope="module")
def frames(pixels: list[np.ndarray]) -> list[RGB]:
    """Eight frames of one photograph."""
    still = cv2.resize(pixels[0], SIZE, interpolation=cv2.INTER_AREA).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 3, (8, *still.shape))
    return list(np.clip(still + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def bare(small: Bundle, frames: list[RGB]) -> Bare:
    """The peer, warm."""
    made = Bare(small, frames)
    made.turn()
    made.turn()
    return made


@pytest.fixture
def loop(small: Bundle, frames: list[RGB], bare: Bare) -> Loop:
    return Loop(small, frames, bare.clock.cpu[-1] / 2)


def test_frames_by_the_bare_interpreter(
    benchmark: BenchmarkFixture, bare: Bare, loop: Loop
) -> None:
    """The peer."""
    benchmark.group = RATE
    benchmark.pedantic(bare.turn, setup=loop.whole, rounds=ROUNDS)


def test_frames_by_watch(benchmark: BenchmarkFixture, bare: Bare, loop: Loop) -> None:
    """The camera loop; `rate` is its rate as a share of the peer's."""
    benchmark.group = RATE

    def before() -> None:
        bare.turn()
        loop.open()

    benchmark.pedantic(loop.turn, setup=before, teardown=loop.close, rounds=ROUNDS)
    for name in ("wall", "cpu"):
        peer, own = getattr(bare.clock, name)[-ROUNDS:], getattr(loop.clock, name)
        benchmark.extra_info[f"rate_{name}"] = median_ratio(peer, own)
    benchmark.extra_info |= {
        "peer": "the bare interpreter",
        "camera_fps": 2 / bare.clock.cpu[1],
        "dropped": loop.dropped,
        **summary("age_ms", loop.ages_ms),
    }
    assert loop.dropped > 0  # the camera was faster


def test_added_latency(
    benchmark: BenchmarkFixture,
    monkeypatch: pytest.MonkeyPatch,
    small: Bundle,
    frames: list[RGB],
    bare: Bare,
) -> None:
    """From the camera handing a frame over to the verdict, less prepare and invoke of that frame.

    Before a camera that is half as fast as the model, so that no frame waits for the one before.
    """
    benchmark.group = f"{FRAMES} frames of a camera half as fast as the model, 1 thread"
    loop = Loop(small, frames, 2 * bare.clock.cpu[-1])
    spent: list[float] = []

    def timed(call: Callable) -> Callable:
        def run(*given: object) -> object:
            begin = time.perf_counter()
            found = call(*given)
            spent.append((time.perf_counter() - begin) * 1000)
            return found

        return run

    for step in ("view", "express"):  # together: prepare
        monkeypatch.setattr(diagnose, step, timed(getattr(diagnose, step)))
    monkeypatch.setattr(loop.judge.classifier, "run", timed(loop.judge.classifier.run))
    loop.open()
    spent.clear()
    benchmark.pedantic(loop.turn, rounds=ROUNDS)
    loop.close()
    steps = zip(spent[::3], spent[1::3], spent[2::3], strict=True)
    added = [age - sum(each) for age, each in zip(loop.ages_ms, steps, strict=True)]
    benchmark.extra_info |= {**summary("added_ms", added), **summary("age_ms", loop.ages_ms)}


@pytest.mark.parametrize("web", [False, True], ids=["camera", "camera with web"])
def test_memory_of_kit_camera(
    benchmark: BenchmarkFixture, small: Bundle, tmp_path: Path, web: bool
) -> None:
    """Peak memory of a fresh `kit camera` that judges 200 frames."""
    benchmark.group = "kit camera, 200 frames at 25 a second"
    options = ["--source", "fake:", "--frames", "200", "--no-window", "--home", str(tmp_path)]
    options += ["--web", "--web-listen", "127.0.0.1:0"] if web else []
    command = kit("camera", str(small.path), *options)
    run = [sys.executable, "-c", PEAK, *command]
    done = benchmark.pedantic(
        subprocess.run, (run,), {"check": True, "capture_output": True}, rounds=1
    )
    benchmark.extra_info["peak_mib"] = int(done.stdout) / 2**10


@pytest.mark.parametrize("command", ["pass", "imports", "kit diagnose"])
def test_cold(
    benchmark: BenchmarkFixture,
    small: Bundle,
    photographs: list[Path],
    tmp_path: Path,
    command: str,
) -> None:
    """A fresh `kit diagnose`, beside Python alone and the imports that every judgement needs."""
    benchmark.group = COLD
    commands = {
        "pass": [sys.executable, "-c", "pass"],
        "imports": [sys.executable, "-c", FLOOR],
        "kit diagnose": kit(
            "diagnose", str(small.path), str(photographs[0]), "--home", str(tmp_path)
        ),
    }
    cpu = []

    def run() -> None:
        before = children()
        subprocess.run(commands[command], check=True, capture_output=True)
        cpu.append(children() - before)

    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=2)
    benchmark.extra_info |= summary("cpu_s", cpu)


def kit(*given: str) -> list[str]:
    return [sys.executable, "-m", "dermedge", *given, "--allow-unsigned", "--threads", "1"]


def children() -> float:
    """CPU seconds of all processes that were started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def median_ratio(peer: list[float], own: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(peer, own, strict=True))


def summary(name: str, values: list[float]) -> dict[str, float]:
    return {
        f"{name}_median": statistics.median(values),
        f"{name}_p95": float(np.percentile(values, 95)),
    }
