"""Rungs, built and measured side by side, one attempt after another -> the ladder so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dermcompress import candidate, opset, speeds
from dermcompress.ladder import Climbed, Ladder, Limits
from dermcompress.recipe import FULL_RUNG, Rung
from dermcompress.workshop import Built, Workshop
from dermedge import atomic, bundle, compare, gate
from dermedge.bundle import Bundle
from dermedge.compare import Plan
from dermedge.diagnose import Diagnostician
from dermedge.predictions import Predictions, predict_together

VALIDATION = "val"
Note = Callable[[str], None]


class Climb:
    """The full model, and beside it every rung that was attempted.

    What a bundle says of a photograph does not change, so each is asked once; latencies are
    measured anew in each attempt, since only those of one call can be compared.
    """

    def __init__(
        self, workshop: Workshop, bench: Path, folder: Path, limits: Limits, note: Note
    ) -> None:
        """Begin with nothing.

        Args:
            workshop: Where rungs are built.
            bench: Folder of the bundles that are measured.
            folder: Where they are laid once they are judged; what fails the gate says so there.
            limits: What the shipped model may cost.
            note: Told of each rung.
        """
        self._workshop, self._limits, self._note = workshop, limits, note
        self._bench, self._folder = bench, folder
        self._built: dict[Rung, Built] = {}
        self._tested: dict[str, Predictions] = {}  # by the bundle's sha256
        self._validated: dict[str, Predictions] = {}

    def attempt(self, rungs: Sequence[Rung]) -> Ladder:
        """Build these rungs, and measure them and all before on the run's test photographs.

        Raises:
            KitError: See `Workshop.build`, `candidate.pack` and `compare.measure`.
        """
        new = rungs if self._built else (FULL_RUNG, *rungs)
        for rung in new:
            built = self._workshop.build(rung)
            candidate.pack(self._measured(rung), rung, built, self._workshop, self._note)
            self._note(f"{rung.name}: {rung}{_found(built)}")
            self._built[rung] = built
        bundles = [bundle.open_bundle(self._measured(rung)) for rung in self._built]
        table, progress, plan = self._workshop.source.table, self._workshop.progress, Plan()
        measured = compare.measure(bundles, table, plan, progress, self._tested)
        self._tested = {each.sha256: each.predictions for each in measured}
        ranked = self._ranked(bundles)
        others = speeds.elsewhere(bundles, plan.threads, progress)
        limit, climbed = self._workshop.recipe.gate, list[Climbed]()
        for (rung, built), seen, own, more in zip(
            self._built.items(), measured, ranked, others, strict=True
        ):
            beside = compare.pair(measured[0], seen, plan) if climbed else None
            ranking = compare.auc_difference(ranked[0], own) if climbed else None
            failures = gate.judge(beside, limit, ranking) if beside else ()
            if rung in new:  # what a bundle loses does not change, so the others lie there already
                self._lay(rung, failures)
            climbed.append(
                Climbed(
                    name=rung.name,
                    title=str(rung),
                    bundle=self._laid(rung),
                    macs=built.macs,
                    parameters=built.parameters,
                    zeros=built.zeros,
                    comparison=beside,
                    measured=seen,
                    ranking=ranking,
                    failures=failures,
                    opset=opset.missing(built.model),
                    speeds={seen.latency.runtime: seen.latency.median_ms, **more},
                )
            )
        return Ladder(tuple(climbed), limit, self._limits)

    def _ranked(self, bundles: Sequence[Bundle]) -> list[Predictions]:
        """What each model says of validation and, after that, of the measured photographs."""
        new = [opened for opened in bundles if opened.sha256 not in self._validated]
        part = self._workshop.source.table.part(VALIDATION)
        said = predict_together(list(map(Diagnostician, new)), part, self._workshop.progress)
        self._validated |= {opened.sha256: one for opened, one in zip(new, said, strict=True)}
        keys = [opened.sha256 for opened in bundles]
        return [self._validated[key].joined(self._tested[key]) for key in keys]

    def _measured(self, rung: Rung) -> Path:
        return self._bench / f"{rung.name}.kit"

    def _laid(self, rung: Rung) -> Path:
        return self._folder / f"{rung.name}.kit"

    def _lay(self, rung: Rung, failures: Sequence[str]) -> None:
        if failures:
            candidate.mark(self._measured(rung), self._laid(rung), failures)
        else:
            atomic.copy(self._measured(rung), self._laid(rung))


def _found(built: Built) -> str:
    noisiest = built.made["noisiest_layer"]
    said = {
        "most of the noise of int8 comes from": [noisiest] if noisiest else [],
        "not known here, so left whole:": built.made["gone_around"],
        "in float:": built.made["in_float"],
    }
    return "".join(f"; {words} {', '.join(names)}" for words, names in said.items() if names)
