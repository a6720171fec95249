"""When a phase may unfreeze learnt layers: from the top, after the plateau, never too early."""

from __future__ import annotations

from collections.abc import Sequence

from dermedge.errors import InputError
from dermtrain.recipe import HEAD, STAGES, Phase, Recipe, depth
from dermtrain.weights import Filled

_WHY = (
    "large, aimless gradients of layers that have not settled would spoil what the layers below "
    "have learnt"
)


def check(how: Recipe, random: Sequence[str]) -> None:
    """Refuse a recipe that unfreezes learnt layers before their time.

    A stage may unfreeze once everything above it has been trained: first the head, then one stage
    after the other from the top. Where nothing was learnt there is nothing to spoil.

    Args:
        how: The recipe; `unfreeze_early` lets it pass, see `warning`.
        random: Stages that start at random.

    Raises:
        InputError: With the phase and the reason.
    """
    found = warning(how, random)
    if found and not how.unfreeze_early:
        raise InputError(
            f"recipe {how.name}: {found}. Put a phase before it, or, to see what it costs, set "
            "unfreeze_early = true"
        )


def warning(how: Recipe, random: Sequence[str]) -> str:
    """What the recipe unfreezes too early, and why that is bad; empty if nothing."""
    trained = len(STAGES)  # everything from this stage up has been trained
    for phase in (p for p in how.phase[1:] if p.epochs):
        stage = depth(phase.train)[0]
        new = all(above in random for above in STAGES[stage:])
        waiting = [HEAD] * (not how.phase[0].epochs) + list(STAGES[stage + 1 : trained])
        if waiting and not new:
            return (
                f"phase {phase.name} unfreezes {phase.train} before {', '.join(waiting)} has been "
                f"trained: {_WHY}"
            )
        trained = min(trained, stage)
    return ""


def early(phase: Phase) -> str:
    """The warning after a phase that ended without a plateau."""
    return (
        f"warning: phase {phase.name} ended after {phase.epochs} epochs while its validation AUC "
        f"was still gaining, so the next phase unfreezes before the plateau: {_WHY}. "
        "Raise its epochs"
    )


def random_stages(filled: Filled) -> list[str]:
    """Stages of the base in which a layer starts at random, lowest first."""
    stages = {name.split("_")[0] for name in filled.random}
    return [stage for stage in STAGES if stage in stages]


def check_data(saved: str, found: str) -> None:
    """Refuse to go on with other photographs than those that the run began with.

    Raises:
        InputError: They differ.
    """
    if saved != found:
        raise InputError(
            "the photographs, their order or their preparation have changed since the run began: "
            "put them back, or train again in a new folder"
        )
