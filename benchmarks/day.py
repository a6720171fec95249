"""Does anything grow while the camera loop runs for a day?

    python benchmarks/day.py [BUNDLE] [--frames 864000]

A day of ten judged frames a second is 864,000 frames; here they come as fast as they are judged,
through `watch`, the record (a journal with its cap) and the summary of `kit camera`. Once in an
hour's worth the camera goes and is opened again. Without BUNDLE, a tiny model of the tests judges.

A table of memory, open files and threads is printed. Exit code 1 if in the second half more files
or threads are open than before, or memory grows by more than it wavers.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dermedge import bundle, contract, scene
from dermedge.bundle import Bundle
from dermedge.cli_tell import Tally
from dermedge.diagnose import Diagnostician
from dermedge.errors import CameraError
from dermedge.history import parts
from dermedge.image import RGB
from dermedge.live import entry, watch
from dermedge.recorder import Recorder

FPS = 10
DAY, HOUR = 24 * 3600 * FPS, 3600 * FPS  # frames
SIZE = (160, 120)  # of a frame: width, height; small, since pixels leave nothing behind
JOURNAL_BYTES = 8 << 20  # so that it goes round several times
SAMPLES = 40
SLACK_MIB = 0.5  # the least growth that is believed: pages come and go
MODEL = Path(__file__).parent.parent / "tests/fixtures/tiny_int8.tflite"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds after so many frames."""

    frames: int
    seconds: float
    rss_mib: float
    files: int
    threads: int
    journal_mib: float


class Lockstep:
    """A camera that gives a frame when the last one was judged, so that none is dropped."""

    name = "made-up camera"
    interval = 0.0
    skipped = ()

    def __init__(self, count: int) -> None:
        self.judged = threading.Semaphore()
        self._pictures, self._left, self._gone = pictures(), count, False

    def read(self) -> RGB | None:
        if not self._left:
            return None
        if self._left % HOUR == 0 and not self._gone:
            self._gone = True
            raise CameraError("made-up camera: unplugged.")
        self.judged.acquire()
        self._gone = False
        self._left -= 1
        return self._pictures[self._left % len(self._pictures)]

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=DAY)
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        found = bundle.open_bundle(given.bundle or tiny(Path(folder) / "tiny.kit"))
        print(f"{given.frames} frames: {given.frames / DAY:.1%} of a day at {FPS} a second\n")
        print("| frames | minutes | memory, MiB | open files | threads | journal, MiB |")
        print("|--:|--:|--:|--:|--:|--:|")
        samples = run(found, given.frames, Path(folder) / "record.jsonl")
    sys.exit("\n".join(grown(samples)) or None)


def run(opened: Bundle, count: int, path: Path) -> list[Sample]:
    """Judge so many frames; the samples are printed as they come."""
    camera, judge, tally = Lockstep(count), Diagnostician(opened, 1), Tally()
    begin, every, samples = time.monotonic(), max(1, count // SAMPLES), []
    with Recorder(path, JOURNAL_BYTES) as recorder:
        seen = watch(camera, judge, reopen=lambda: camera, inspect=scene.live)
        for sighting in seen:
            line = entry(sighting, judge.classifier.runtime)
            recorder.add(line, sighting.frame.image, sighting.time)
            tally.add(sighting)
            camera.judged.release()
            if tally.judged % every == 0:
                samples.append(sample(tally.judged, time.monotonic() - begin, path))
                print(row(samples[-1]), flush=True)
    print()
    tally.tell(camera, judge.contract.notice)
    return samples


def sample(frames: int, seconds: float, path: Path) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        frames,
        seconds,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threading.active_count(),
        sum(part.stat().st_size for part in parts(path)) / 2**20,
    )


def row(one: Sample) -> str:
    return (
        f"| {one.frames} | {one.seconds / 60:.1f} | {one.rss_mib:.2f} | {one.files} | "
        f"{one.threads} | {one.journal_mib:.2f} |"
    )


def grown(samples: list[Sample]) -> list[str]:
    """What grows in the second half, in words."""
    half = len(samples) // 2
    before, after = samples[:half], samples[half:]
    found = [
        f"{name}: {max(getattr(s, name) for s in before)} in the first half, "
        f"{max(getattr(s, name) for s in after)} in the second"
        for name in ("files", "threads")
        if max(getattr(s, name) for s in after) > max(getattr(s, name) for s in before)
    ]
    frames, rss = np.array([(s.frames, s.rss_mib) for s in after]).T
    (slope, _), spread = np.polyfit(frames, rss, 1, cov=True)
    growth, error = slope * np.ptp(frames), np.sqrt(spread[0, 0]) * np.ptp(frames)
    print(f"memory in the second half: {growth:+.2f} MiB, standard error {error:.2f}")
    if growth > max(SLACK_MIB, 2 * error):
        found.append(f"memory grew by {growth:.2f} MiB in the second half")
    return found


def pictures() -> list[RGB]:
    """A dark disc on skin, with a grain; eight frames."""
    still = np.full((SIZE[1], SIZE[0], 3), (225, 180, 160), np.uint8)
    cv2.circle(still, (SIZE[0] // 2, SIZE[1] // 2), 30, (110, 60, 45), -1)
    grain = np.random.default_rng(0).normal(0, 5, (8, *still.shape))
    return list(np.clip(still + grain, 0, 255).astype(np.uint8))


def tiny(path: Path) -> Path:
    """A bundle of a model that the tests use; nothing about it is learnt."""
    terms = contract.Contract(
        model=contract.Model("model.tflite", "0" * 64, "tflite"),
        input=contract.Input(48, 48),
        labels=(contract.Label(0, "benign", False), contract.Label(1, "malignant", True)),
        outputs=(contract.Output("logits"),),
        calibration=contract.Calibration(1.5),
        decision=contract.Decision({"none": 0.4}, "none", (0.38, 0.42)),
        quality=contract.QualityLimits(),
        provenance=contract.Provenance(
            *("random pixels", "CC0-1.0", True, "none", "by hand", "benchmark", 0), {}, {}
        ),
    )
    bundle.pack(path, terms, MODEL.read_bytes(), "# Tiny\n\nmade-up\n")
    return path


if __name__ == "__main__":
    main()
