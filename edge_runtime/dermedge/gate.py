"""May a small model stand in for the float one: the rules, and why it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dermedge.compare import Comparison
    from dermedge.delong import Difference
    from dermedge.intervals import Interval
    from dermedge.metrics import Figures
    from dermedge.topclass import TopFigures

# Shares of counts are fractions: 0.90 - 0.88 is a little more than 0.02 in binary.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Gate:
    """What a small model may lose and still stand in for the float one.

    Attributes:
        max_auc_drop: The lower 95 % bound of AUC(small) - AUC(float), paired, is not below minus
            this.
        max_sensitivity_drop: Loss of sensitivity, each model at its own frozen threshold. Of models
            without positive classes, loss of accuracy.
        max_ece: Calibration error (ECE) of the small model; on few photographs a perfectly
            calibrated one may exceed this, so what chance explains is let pass.
    """

    max_auc_drop: float = 0.02
    max_sensitivity_drop: float = 0.02
    max_ece: float = 0.05

    def rules(self) -> dict[str, bool]:
        """What must hold, in words, and whether it does."""
        return {
            "max_auc_drop lies in 0 to 1": 0 <= self.max_auc_drop <= 1,
            "max_sensitivity_drop lies in 0 to 1": 0 <= self.max_sensitivity_drop <= 1,
            "max_ece lies in 0 to 1": 0 <= self.max_ece <= 1,
        }


def judge(
    comparison: Comparison, gate: Gate, difference: Difference | None = None
) -> tuple[str, ...]:
    """Hold a comparison against the gate.

    Args:
        comparison: Both models on the same photographs, each at its own frozen threshold.
        gate: What the small model may lose.
        difference: In AUC, on more photographs than the comparison's; default: the comparison's.

    Returns:
        Why the small model may not stand in, one sentence a rule; empty if it may.
    """
    from dermedge import summary
    from dermedge.metrics import chance_error

    apart = difference or comparison.difference
    name, before = caught(comparison.full.figures)
    _, after = caught(comparison.small.figures)
    drop, ece = before.value - after.value, comparison.small.figures.ece
    chance = chance_error(comparison.small.predictions.probabilities) if ece > gate.max_ece else 0.0
    checks = (
        (
            apart.within(gate.max_auc_drop),
            f"its AUC may be lower by more than {gate.max_auc_drop:g}: the difference is "
            f"{summary.difference(apart)}",
        ),
        (
            drop <= gate.max_sensitivity_drop + _ROUNDING,
            f"its {name} is lower by {drop:.3f}, at most {gate.max_sensitivity_drop:g}: "
            f"{before.value:.3f} to {after.value:.3f}",
        ),
        (
            ece <= max(gate.max_ece, chance) + _ROUNDING,
            f"its calibration error is {ece:.3f}, at most {gate.max_ece:g}, or {chance:.3f} that "
            f"chance explains (the float model's: {comparison.full.figures.ece:.3f})",
        ),
    )
    return tuple(reason for kept, reason in checks if not kept)


def caught(figures: Figures | TopFigures) -> tuple[str, Interval]:
    """The share that must not fall, and its name: sensitivity; without positive classes accuracy.

    Both are those at the model's own frozen threshold, if they need one.
    """
    from dermedge.topclass import TopFigures

    if isinstance(figures, TopFigures):
        return "accuracy", figures.accuracy
    return "sensitivity", figures.sensitivity
