"""The ladder of models, measured: which rungs may be shipped, and which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermedge.compare import Comparison, Measured, Setting
from dermedge.delong import Difference
from dermedge.errors import InputError
from dermedge.gate import Gate

_EQUAL = 1.05  # latencies of one net, measured twice in one call, differ by a few hundredths


@dataclass(frozen=True, slots=True)
class Limits:
    """What the shipped model may cost at most; None sets no limit.

    Attributes:
        max_ms: Median latency from pixels to verdict, ms.
        max_mb: Model file, MB (powers of 1000).
    """

    max_ms: float | None = None
    max_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Climbed:
    """One rung, measured.

    Attributes:
        name: Short name of the rung.
        title: What was done, in one line.
        bundle: Its bundle file.
        macs: Multiplications with addition of one photograph.
        parameters: Weights, zeros included.
        zeros: Share of the weights that are 0.
        comparison: Beside the full model; None for the full model itself.
        measured: What it costs and is worth.
        ranking: AUC less the full model's on validation and test together, which the gate judges:
            no model's ranking learnt from either, and the full one was chosen on validation, so
            what this leans to is the full model. None for the full model.
        failures: The gate's reasons, see `dermedge.gate.judge`; empty if it passes.
        opset: Runtime -> operations that it lacks.
        speeds: Runtime, as installed -> median latency, ms.
    """

    name: str
    title: str
    bundle: Path
    macs: int
    parameters: int
    zeros: float
    comparison: Comparison | None
    measured: Measured
    ranking: Difference | None
    failures: tuple[str, ...]
    opset: Mapping[str, Sequence[str]]
    speeds: Mapping[str, float]

    @property
    def ms(self) -> float:
        """Median latency from pixels to verdict, ms, on the runtime that the kit would use."""
        return self.measured.latency.median_ms

    @property
    def mb(self) -> float:
        """Model file, MB (powers of 1000)."""
        return self.measured.sizes.model / 1e6

    @property
    def auc(self) -> float:
        """AUC; without positive classes the mean of each class against the rest."""
        return self.measured.figures.auc.value


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs, measured side by side: the full float model first, then those made from it.

    The full model is what the others are held against; it is never chosen.
    """

    rungs: tuple[Climbed, ...]
    gate: Gate
    limits: Limits

    def __post_init__(self) -> None:
        """Refuse rungs that can't be compared.

        Raises:
            InputError: The first is not the full model, or nothing stands beside it.
        """
        full = [rung.comparison is None for rung in self.rungs]
        if len(full) < 2 or full != [True] + [False] * (len(full) - 1):
            names = ", ".join(rung.name for rung in self.rungs) or "none"
            raise InputError(
                "expected the full model as the first rung and at least one more to hold against "
                f"it; found {names}"
            )

    @property
    def full(self) -> Climbed:
        """The full float model."""
        return self.rungs[0]

    @property
    def small(self) -> tuple[Climbed, ...]:
        """Every other rung."""
        return self.rungs[1:]

    @property
    def setting(self) -> Setting:
        """What all rungs share: photographs, machine, notice."""
        comparison = self.rungs[1].comparison
        assert comparison is not None  # refused above
        return comparison.setting

    def meets(self, rung: Climbed) -> tuple[str, ...]:
        """Limits that a rung breaks, in words; empty if it keeps them."""
        return tuple(
            f"{value:.1f} {unit}, at most {limit:g}" for value, limit, unit in self._broken(rung)
        )

    def best(self) -> Climbed | None:
        """The fastest rung that passes the gate and keeps the limits; None if there is none.

        Of those that are as fast but for what chance does to a latency, the one whose ranking is
        proved best.
        """
        kept = [rung for rung in self._passing() if not self._broken(rung)]
        least = min((rung.ms for rung in kept), default=0.0)
        equals = (rung for rung in kept if rung.ms <= _EQUAL * least)
        return max(equals, key=proved, default=None)

    def nearest(self) -> Climbed | None:
        """The rung that passes the gate and comes nearest to the limits; None if none passes.

        Nearest is the least of the worst excess, as a share of its limit.
        """

        def excess(rung: Climbed) -> tuple[float, float]:
            over = (value / limit - 1 for value, limit, _ in self._broken(rung))
            return max(over, default=0.0), rung.ms

        return min(self._passing(), key=excess, default=None)

    def settled(self) -> bool:
        """Whether a model with more left in it could not help.

        One passes the gate already, or all are beyond the limits, which more would only exceed.
        """
        return bool(self._passing()) or all(self._broken(rung) for rung in self.small)

    def refusal(self) -> str:
        """Why no rung can be shipped, and which comes nearest; empty if one can."""
        if self.best() is not None:
            return ""
        near = self.nearest()
        if near is not None:
            return (
                f"no rung passes the gate and keeps the limits; the nearest is {near.name}: "
                f"{'; '.join(self.meets(near))}. {self._beyond()}"
            ).rstrip()
        reasons = [f"{rung.name}: {'; '.join(rung.failures)}" for rung in self.small]
        return "no rung passes the gate:\n  " + "\n  ".join(reasons)

    def front(self) -> tuple[Climbed, ...]:
        """The Pareto front, fastest first: no other rung is as fast and as good, and one better."""
        beyond = [
            rung for rung in self.rungs if not any(_dominates(other, rung) for other in self.rungs)
        ]
        return tuple(sorted(beyond, key=lambda rung: rung.ms))

    def as_dict(self) -> dict[str, Any]:
        """For `ladder.json`."""
        best = self.best()
        return {
            **asdict(self.setting),
            "gate": asdict(self.gate),
            "limits": asdict(self.limits),
            "best": None if best is None else best.name,
            "refusal": self.refusal(),
            "front": [rung.name for rung in self.front()],
            "rungs": [self._rung(rung) for rung in self.rungs],
        }

    def _rung(self, rung: Climbed) -> dict[str, Any]:
        beside = rung.comparison
        return {
            "name": rung.name,
            "title": rung.title,
            "bundle": str(rung.bundle),
            "macs": rung.macs,
            "parameters": rung.parameters,
            "zeros": rung.zeros,
            "failures": list(rung.failures),
            "beyond_limits": list(self.meets(rung)),
            "auc_difference": None if beside is None else asdict(beside.difference),
            "auc_difference_val_test": None if rung.ranking is None else asdict(rung.ranking),
            "agreement": None if beside is None else asdict(beside.agreement),
            "lacking": {runtime: list(lacking) for runtime, lacking in rung.opset.items()},
            "median_ms": dict(rung.speeds),
            "measured": rung.measured.as_dict(),
        }

    def _passing(self) -> list[Climbed]:
        return [rung for rung in self.small if not rung.failures]

    def _broken(self, rung: Climbed) -> list[tuple[float, float, str]]:
        """Value, limit and unit of each limit that is broken."""
        held = ((rung.ms, self.limits.max_ms, "ms"), (rung.mb, self.limits.max_mb, "MB"))
        return [
            (value, limit, unit)
            for value, limit, unit in held
            if limit is not None and value > limit
        ]

    def _beyond(self) -> str:
        """Which rungs keep the limits, but fail the gate."""
        names = [rung.name for rung in self.small if rung.failures and not self._broken(rung)]
        return f"Within the limits, but failing the gate: {', '.join(names)}." if names else ""


def proved(rung: Climbed) -> float:
    """Lower bound of its AUC less the full model's."""
    return rung.ranking.interval.low if rung.ranking else 0.0


def _dominates(one: Climbed, other: Climbed) -> bool:
    """Whether one is as fast and as good as another, and better in something."""
    at_least = one.ms <= other.ms and one.auc >= other.auc
    return at_least and (one.ms < other.ms or one.auc > other.auc)
