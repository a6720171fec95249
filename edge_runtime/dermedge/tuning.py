"""A model in every runtime, with every number of threads, timed side by side on this device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dermedge import golden
from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError, MissingError
from dermedge.image import RGB
from dermedge.model import cores, runtimes
from dermedge.progress import Progress, silent
from dermedge.timing import RUNS, Latency, latencies

NEAR = 1.03  # of the fastest median: the clock and the load of a machine move it as much

_HEIGHT, _WIDTH = 480, 640  # of the drawn pictures: a camera's frame


@dataclass(frozen=True, slots=True)
class Entry:
    """How a model ran in one runtime with one number of threads.

    Attributes:
        latency: From pixels to verdict.
        off: Greatest difference of a probability from the golden vectors, in steps of 1/256.
        sound: Whether that is within their tolerance.
    """

    latency: Latency
    off: float
    sound: bool

    @property
    def runtime(self) -> str:
        """Distribution of the runtime."""
        return self.latency.runtime.partition(" ")[0]

    @property
    def threads(self) -> int:
        """Threads it used."""
        return self.latency.threads


def pictures() -> tuple[RGB, ...]:
    """What is judged: drawn pictures of a camera's size, uint8 (480, 640, 3), RGB."""
    return golden.patterns(_HEIGHT, _WIDTH)


def sweep(most: int) -> list[int]:
    """Numbers of threads worth a try with so many cores: 1, 2, 4 ... and all of them."""
    return sorted({*(1 << n for n in range(most.bit_length())), most})


def candidates(bundle: Bundle) -> tuple[list[Diagnostician], dict[str, str]]:
    """Build a bundle's model in each installed runtime with each number of threads.

    Returns:
        What judges, and why a runtime can't run this model, by the runtime's name.

    Raises:
        BundleError: None can.
    """
    judges: list[Diagnostician] = []
    refused: dict[str, str] = {}
    for runtime in runtimes():
        try:
            built = [Diagnostician(bundle, count, runtime) for count in sweep(cores())]
            golden.take(built[0].classifier, bundle.contract)  # it gives numbers at all
            judges += built
        except (BundleError, MissingError) as error:
            refused[runtime] = str(error)
    if not judges:
        raise BundleError("; ".join(refused.values()))
    return judges, refused


def measure(
    judges: Sequence[Diagnostician], runs: int = RUNS, progress: Progress = silent
) -> tuple[Entry, ...]:
    """Check the scores of one model in several runtimes, then time all of them in turn.

    All are in memory at once, so that their runs can take turns (A B A B): a machine that grows
    warm or busy slows all alike. In a bundle without golden vectors the first judge stands for
    them.

    Args:
        judges: Of one bundle, one or more.
        runs: Timed runs of each.
        progress: Told after every round.

    Raises:
        BundleError: One of them gives what is no number.
    """
    first = judges[0]
    if first.bundle.golden:
        vectors = golden.parse(first.bundle.golden, first.contract)
    else:
        vectors = golden.take(first.classifier, first.contract)
    offs = [golden.off(vectors, judge.classifier, judge.contract) for judge in judges]
    times = latencies(judges, pictures(), runs, progress)
    return tuple(
        Entry(time, off, off <= vectors.tolerance) for time, off in zip(times, offs, strict=True)
    )


def fastest(entries: Sequence[Entry]) -> Entry:
    """The sound entry with the lowest median; of those within 3 %, the one with fewest threads.

    Raises:
        BundleError: None is sound.
    """
    sound = [entry for entry in entries if entry.sound]
    if not sound:
        raise BundleError("no runtime gives the scores that the model gave where it was made")
    best = min(entry.latency.median_ms for entry in sound)
    near = [entry for entry in sound if entry.latency.median_ms <= NEAR * best]
    return min(near, key=lambda entry: (entry.threads, entry.latency.median_ms))
