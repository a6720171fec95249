"""How fast and how large a bundle runs on this machine: latency, cold start, peak memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError, KitError
from dermedge.image import RGB
from dermedge.progress import Progress, silent

WARM_UP = 3
RUNS = 30
STARTS = 3


@dataclass(frozen=True, slots=True)
class Latency:
    """From RGB pixels to verdict, in ms, of `n` runs; reading the file is not included."""

    median_ms: float
    p95_ms: float
    n: int
    threads: int
    runtime: str
    runs_ms: tuple[float, ...]

    @property
    def min_ms(self) -> float:
        """The fastest run: what the machine can do when nothing else runs."""
        return min(self.runs_ms)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A fresh process that judges one photograph file; medians of `n` processes.

    Attributes:
        seconds: Wall time from the spawn to the verdict, Python's own start included.
        peak_mib: Largest resident set of the process; None where the system does not tell.
        n: Processes started.
    """

    seconds: float
    peak_mib: float | None
    n: int


def latencies(
    diagnosticians: Sequence[Diagnostician],
    images: Sequence[RGB],
    runs: int = RUNS,
    progress: Progress = silent,
) -> tuple[Latency, ...]:
    """Time bundles side by side.

    The runs are interleaved (A B A B), so that a machine that warms up or is busy slows all alike.

    Args:
        diagnosticians: The opened bundles, one or more.
        images: Photographs, uint8 (height, width, 3), RGB, taken in turn.
        runs: Timed runs of each bundle, after a short warm-up.
        progress: Told after every round.

    Raises:
        InputError: No photographs, or no runs.
    """
    if not images or runs < 1:
        raise InputError(f"expected photographs and at least one run, got {len(images)} and {runs}")
    for diagnostician in diagnosticians:
        for i in range(WARM_UP):
            diagnostician.diagnose(images[i % len(images)])
    spent: list[list[float]] = [[] for _ in diagnosticians]
    for i in range(runs):
        for diagnostician, times in zip(diagnosticians, spent, strict=True):
            times.append(_milliseconds(diagnostician, images[i % len(images)]))
        progress("timing", i + 1, runs)
    return tuple(_latency(d, times) for d, times in zip(diagnosticians, spent, strict=True))


def cold_start(
    bundle: Path,
    image: Path,
    threads: int | None = None,
    starts: int = STARTS,
    runtime: str | None = None,
) -> ColdStart:
    """Start a fresh process `starts` times and let it judge one photograph.

    The first start may read from disk what the later ones find in the page cache; the median then
    stands for a device that has run the kit before.

    Raises:
        KitError: The process failed; its own last words are repeated.
    """
    runs = [_probe(bundle, image, threads, runtime) for _ in range(starts)]
    peaks = [peak for _, peak in runs if peak is not None]
    return ColdStart(
        seconds=statistics.median(seconds for seconds, _ in runs),
        peak_mib=statistics.median(peaks) if peaks else None,
        n=starts,
    )


def _milliseconds(diagnostician: Diagnostician, image: RGB) -> float:
    start = time.perf_counter()
    diagnostician.diagnose(image)
    return (time.perf_counter() - start) * 1000


def _latency(diagnostician: Diagnostician, times: list[float]) -> Latency:
    classifier = diagnostician.classifier
    return Latency(
        median_ms=statistics.median(times),
        p95_ms=float(np.percentile(times, 95)),
        n=len(times),
        threads=classifier.threads,
        runtime=classifier.runtime,
        runs_ms=tuple(times),
    )


def _probe(
    bundle: Path, image: Path, threads: int | None, runtime: str | None
) -> tuple[float, float | None]:
    """Seconds from spawn to verdict, and peak memory, of one fresh process."""
    command = [sys.executable, "-m", "dermedge.probe", str(bundle.resolve()), str(image.resolve())]
    command += [] if threads is None else ["--threads", str(threads)]
    command += [] if runtime is None else ["--runtime", runtime]
    # `-m` looks in the working folder first: the child runs the very package that asks.
    home = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=home, text=True
        ) as child:
            line = child.stdout.readline() if child.stdout else ""
            seconds = time.perf_counter() - start
        if child.returncode != 0 or not line:
            errors.seek(0)
            raise KitError(_last_words(bundle, child.returncode, errors.read()))
    return seconds, json.loads(line)["peak_mib"]


def _last_words(bundle: Path, code: int, errors: str) -> str:
    lines = errors.strip().splitlines() or ["it said nothing"]
    reason = f"was ended by signal {-code} (out of memory?)" if code < 0 else f"failed with {code}"
    return f"a fresh process that was to judge one photograph with {bundle} {reason}: {lines[-1]}"
