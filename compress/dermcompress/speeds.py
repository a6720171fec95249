"""How fast every rung is in each runtime that is installed beside the one that judges."""

from __future__ import annotations

from collections.abc import Sequence

from dermedge import timing, tuning
from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError, MissingError
from dermedge.model import runtimes
from dermedge.progress import Progress, silent


def elsewhere(
    bundles: Sequence[Bundle], threads: int | None = None, progress: Progress = silent
) -> list[dict[str, float]]:
    """Time all bundles in all runtimes but the default one, their runs taking turns.

    Returns:
        Of each bundle, runtime (as installed) -> median latency from pixels to verdict, ms; without
        those that can't run it.
    """
    judges: list[tuple[int, Diagnostician]] = []
    for runtime in runtimes()[1:]:
        for number, opened in enumerate(bundles):
            try:
                judges.append((number, Diagnostician(opened, threads, runtime)))
            except (BundleError, MissingError):
                continue
    found: list[dict[str, float]] = [{} for _ in bundles]
    spent = timing.latencies([judge for _, judge in judges], tuning.pictures(), progress=progress)
    for (number, _), latency in zip(judges, spent, strict=True):
        found[number][latency.runtime] = latency.median_ms
    return found
