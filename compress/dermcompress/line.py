"""`kit compress`: run -> rungs -> bundles, measured side by side -> the one that is shipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dermcompress import candidate, edge_quantizer, ladder_page, unlabelled
from dermcompress.audit import audit
from dermcompress.climb import VALIDATION, Climb, Note
from dermcompress.ladder import Climbed, Ladder, Limits, proved
from dermcompress.photographs import Source
from dermcompress.recipe import ALL, EDGE, QAT, CompressRecipe, Rung
from dermcompress.workshop import Workshop
from dermedge import atomic, bundle
from dermedge.compare import Plan
from dermedge.diagnose import Diagnostician
from dermedge.errors import GateError, InputError, MissingError
from dermedge.predictions import check
from dermedge.progress import Progress, silent
from dermedge.table import read_unlabelled
from dermtrain import lock
from dermtrain import run as runs
from dermtrain.store import Store

FLOAT, SMALL = "float.kit", "small.kit"
RUNGS = "rungs"  # folder of the bundles that were judged


@dataclass(frozen=True, slots=True)
class Job:
    """Which run is compressed, how, and to where.

    Attributes:
        run: The run folder.
        out: Folder of the bundles.
        recipe: How.
        rungs: Names of the rungs, see `CompressRecipe.attempts`.
        limits: What the shipped model may cost.
        force: Ship the rung that comes nearest even if it fails, marked as failed.
        whole: Whether the models also give the class-activation map and the embedding.
        seed: Of everything that is drawn.
        data: Other photographs than the run's own, see `Run.table`.
        images: Folder of the photographs, if they have moved.
        unlabelled: Further photographs to learn from, see `dermedge.table.read_unlabelled`.
    """

    run: Path
    out: Path
    recipe: CompressRecipe
    rungs: str = ""
    limits: Limits = field(default_factory=Limits)
    force: bool = False
    whole: bool = True
    seed: int = 0
    data: Path | None = None
    images: Path | None = None
    unlabelled: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The ladder as it was measured, the rung that was shipped, and the page about both."""

    ladder: Ladder
    shipped: Climbed
    page: Path


def compress(job: Job, store: Store, note: Note, progress: Progress = silent) -> Result:
    """Build the rungs, measure them side by side, and ship one that passes the gate.

    Of rungs that are asked for by name, the fastest that passes; else the recipe's are tried in
    turn, and the next is built only if those before it fail.
    Every step is kept in the store: an interrupted run loses the step at work, no more.

    Raises:
        KitError: No finished run, photographs that are not there or unreadable, unlabelled ones for
            rungs that learn nothing, a layer to keep in float or a package that is not there, a
            full disk.
        GateError: No rung passes; the page and the figures are written all the same.
    """
    attempts = _possible(job, note)
    possible = [rung for attempt in attempts for rung in attempt]
    source = _source(job, possible, note, progress)
    workshop = Workshop(source, job.recipe, job.seed, store, job.whole, progress)
    for rung in possible:
        workshop.in_float(rung)  # a wrong name is told now, not after hours
    rungs = job.out / RUNGS
    with lock.alone(job.out, progress), lock.alone(rungs, progress), _bench(rungs) as bench:
        climb = Climb(workshop, bench, rungs, job.limits, note)
        ladder = climb.attempt(attempts[0])
        for attempt in attempts[1:]:
            if ladder.settled():
                break
            note(f"{ladder.refusal()}\nThe next: {', '.join(rung.name for rung in attempt)}")
            ladder = climb.attempt(attempt)
        return _shipped(job, ladder, bench, progress)


def _source(job: Job, rungs: Sequence[Rung], note: Note, progress: Progress) -> Source:
    """The run and its photographs; all that may be wrong with them is told before the long work."""
    if job.unlabelled and not any(map(job.recipe.learns, rungs)):
        raise InputError(
            "unlabelled photographs would do nothing: none of the rungs asked for learns from the "
            f"full model (distil, sparsity, or export {QAT})"
        )
    given = [read_unlabelled(path) for path in job.unlabelled]
    opened = runs.open_run(job.run)
    table = opened.table(job.data, job.images)
    for split in (VALIDATION, Plan().split):
        check(table.part(split), opened.contract)
    further = unlabelled.choose(given, table, progress)
    if further.tables:
        note(str(further))
    return Source(opened.model(), opened.contract, table, further)


def _shipped(job: Job, ladder: Ladder, bench: Path, progress: Progress) -> Result:
    """Write the page and the bundles; what fails the gate says so wherever it lies."""
    best = ladder.best()
    judged = best or ladder.nearest() or max(ladder.small, key=proved)
    full, small = (Diagnostician(bundle.open_bundle(x.bundle)) for x in (ladder.full, judged))
    found = audit(
        ladder.full.measured, judged.measured, (full, small), seed=job.seed, progress=progress
    )
    page = ladder_page.write(ladder, job.out, judged, found)
    atomic.copy(ladder.full.bundle, job.out / FLOAT)
    if best is not None:
        atomic.copy(best.bundle, job.out / SMALL)
    elif job.force:
        reasons = (*judged.failures, *ladder.meets(judged))
        candidate.mark(bench / judged.bundle.name, job.out / SMALL, reasons)
    else:
        (job.out / SMALL).unlink(missing_ok=True)  # one of an earlier call must not pass for this
    if best is None and not job.force:
        raise GateError(
            f"{ladder.refusal()}\nNothing is shipped. --force ships {judged.name}, marked as "
            f"failed. See {page}"
        )
    return Result(ladder, judged, page)


def _possible(job: Job, note: Note) -> tuple[tuple[Rung, ...], ...]:
    """The attempts; of all rungs, those that what is installed can build."""
    attempts = job.recipe.attempts(job.rungs)
    lacking = [rung.name for attempt in attempts for rung in attempt if rung.export == EDGE]
    if edge_quantizer.installed() or not lacking:
        return attempts
    why = f"{', '.join(lacking)}: {edge_quantizer.LACKING}"
    left = tuple(rung for rung in attempts[0] if rung.export != EDGE)
    if job.rungs.strip() != ALL or not left:
        raise MissingError(why)
    note(f"left out: {why}")
    return (left,)


@contextmanager
def _bench(rungs: Path) -> Iterator[Path]:
    """Where bundles lie until they are judged: nothing unproved is found among the rungs."""
    folder = rungs / ".unjudged"
    shutil.rmtree(folder, ignore_errors=True)  # of a killed command
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
