"""`kit compress`: run -> rungs -> bundles, measured side by side -> the one that is shipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from dermcompress import candidate, edge_quantizer, ladder_page, opset, speeds, unlabelled
from dermcompress.audit import audit
from dermcompress.ladder import Climbed, Ladder, Limits
from dermcompress.photographs import Source
from dermcompress.recipe import ALL, EDGE, FULL_RUNG, QAT, CompressRecipe, Rung
from dermcompress.workshop import Built, Workshop
from dermedge import atomic, bundle, compare, gate
from dermedge.bundle import Bundle
from dermedge.compare import Measured, Plan
from dermedge.diagnose import Diagnostician
from dermedge.errors import GateError, InputError, MissingError
from dermedge.predictions import Predictions, predict_together
from dermedge.progress import Progress, silent
from dermedge.table import Table, read_unlabelled
from dermtrain import run as runs
from dermtrain.store import Store

FLOAT, SMALL = "float.kit", "small.kit"
VALIDATION = "val"
RUNGS = "rungs"  # folder of the bundles that are measured
Note = Callable[[str], None]


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
    if job.unlabelled and not any(map(job.recipe.learns, possible)):
        raise InputError(
            "unlabelled photographs would do nothing: none of the rungs asked for learns from the "
            f"full model (distil, sparsity, or export {QAT})"
        )
    given = [read_unlabelled(path) for path in job.unlabelled]
    opened = runs.open_run(job.run)
    table = opened.table(job.data, job.images)
    further = unlabelled.choose(given, table, progress)
    if further.tables:
        note(str(further))
    source = Source(opened.model(), opened.contract, table, further)
    workshop = Workshop(source, job.recipe, job.seed, store, job.whole, progress)
    for rung in possible:
        workshop.in_float(rung)  # a wrong name is told now, not after hours
    ladder = _climbed(job, attempts, workshop, note)
    shipped = ladder.best()
    judged = shipped or ladder.nearest() or _least_bad(ladder)
    pair = [Diagnostician(bundle.open_bundle(x.bundle)) for x in (ladder.full, judged)]
    found = audit(
        ladder.full.measured,
        judged.measured,
        (pair[0], pair[1]),
        seed=job.seed,
        progress=progress,
    )
    page = ladder_page.write(ladder, job.out, judged, found)
    _copy(ladder.full.bundle, job.out / FLOAT)
    if shipped is None and not job.force:
        # A model of an earlier call must not pass for one of this.
        (job.out / SMALL).unlink(missing_ok=True)
        advice = "A recipe with a greater `work` loses less. " if judged.failures else ""
        raise GateError(
            f"{ladder.refusal()}\nNothing is shipped. {advice}--force ships {judged.name}, "
            f"marked as failed. See {page}"
        )
    _copy(judged.bundle, job.out / SMALL)
    if shipped is None:
        candidate.mark(job.out / SMALL, (*judged.failures, *ladder.meets(judged)))
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


def _climbed(
    job: Job,
    attempts: Sequence[Sequence[Rung]],
    workshop: Workshop,
    note: Note,
    before: Mapping[Rung, Built] = MappingProxyType({}),
) -> Ladder:
    """Build one attempt after another, each measured with those before, until that settles it."""
    now, *later = attempts
    built = dict(before)
    for rung in now if before else (FULL_RUNG, *now):
        built[rung] = workshop.build(rung)
        candidate.pack(_path(job, rung), rung, built[rung], workshop, note)
        note(f"{rung.name}: {rung}{_noise(built[rung])}")
    ladder = _measured(job, built, workshop.source.table, workshop.progress)
    if ladder.settled() or not later:
        return ladder
    note(f"{ladder.refusal()}\nThe next: {', '.join(rung.name for rung in later[0])}")
    return _climbed(job, later, workshop, note, built)


def _noise(built: Built) -> str:
    layer = built.made["noisiest_layer"]
    return f"; most of the noise of int8 comes from {layer}" if layer else ""


def _measured(job: Job, built: Mapping[Rung, Built], table: Table, progress: Progress) -> Ladder:
    """All rungs on the run's test photographs, in one go, their timed runs taking turns."""
    bundles = [bundle.open_bundle(_path(job, rung)) for rung in built]
    plan = Plan()
    measured = compare.measure(bundles, table, plan, progress)
    ranked = _ranked(bundles, measured, table, progress)
    others = speeds.elsewhere(bundles, plan.threads, progress)
    rungs = []
    for (rung, model), seen, own, more in zip(built.items(), measured, ranked, others, strict=True):
        beside = compare.pair(measured[0], seen, plan) if rungs else None
        ranking = compare.auc_difference(ranked[0], own) if rungs else None
        rungs.append(
            Climbed(
                name=rung.name,
                title=str(rung),
                bundle=_path(job, rung),
                macs=model.macs,
                parameters=model.parameters,
                zeros=model.zeros,
                comparison=beside,
                measured=seen,
                ranking=ranking,
                failures=gate.judge(beside, job.recipe.gate, ranking) if beside else (),
                opset=opset.missing(model.model),
                speeds={seen.latency.runtime: seen.latency.median_ms, **more},
            )
        )
    return Ladder(tuple(rungs), job.recipe.gate, job.limits)


def _ranked(
    bundles: Sequence[Bundle], measured: Sequence[Measured], table: Table, progress: Progress
) -> list[Predictions]:
    """What each model says of validation, where there is one, and of the measured photographs."""
    found = [each.predictions for each in measured]
    if not any(row.split == VALIDATION for row in table.rows):
        return found
    judges = [Diagnostician(opened) for opened in bundles]
    more = predict_together(judges, table.part(VALIDATION), progress)
    return [first.joined(rest) for first, rest in zip(more, found, strict=True)]


def _least_bad(ladder: Ladder) -> Climbed:
    """Of rungs that all fail the gate, the one whose AUC's lower bound fell least."""

    def bound(rung: Climbed) -> float:
        return rung.ranking.interval.low if rung.ranking else 0.0

    return max(ladder.small, key=bound)


def _path(job: Job, rung: Rung) -> Path:
    return job.out / RUNGS / f"{rung.name}.kit"


def _copy(source: Path, target: Path) -> None:
    with atomic.whole(target) as temporary:
        shutil.copyfile(source, temporary)
