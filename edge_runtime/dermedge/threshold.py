"""A threshold that the user sets in place of the bundle's, and that says so wherever it decides."""

from __future__ import annotations

import dataclasses

from dermedge.contract import Contract, Decision
from dermedge.errors import InputError

_BY_USER = "the user, not the bundle's"


def set_by_user(terms: Contract, threshold: float | None) -> Contract:
    """The contract with the user's threshold in force; unchanged for None.

    The bundle's own stays among `thresholds`, and `chosen_for` tells it. The uncertain band goes:
    it says how well validation placed the bundle's threshold, and nothing of another. Without
    positive classes, all below the threshold is uncertain, as before.

    Raises:
        InputError: It is no probability.
    """
    if threshold is None:
        return terms
    if not 0 <= threshold <= 1:
        raise InputError(f"expected --threshold to be a probability, 0 to 1, found {threshold:g}")
    before = terms.decision
    chosen = f"{_BY_USER} {before.threshold:.3f} for {before.chosen_for}"
    decision = Decision(
        thresholds={**before.thresholds, chosen: threshold},
        chosen_for=chosen,
        uncertain_band=(threshold if terms.positive else 0.0, threshold),
    )
    return dataclasses.replace(terms, decision=decision)


def is_users(rule: Decision) -> bool:
    """Whether the threshold in force is the user's."""
    return rule.chosen_for.startswith(_BY_USER)
