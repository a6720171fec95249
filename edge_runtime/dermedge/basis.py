"""What a judgement rests on, as part of every result: the rule in force, the model, its gate."""

from __future__ import annotations

from typing import Any

from dermedge import threshold
from dermedge.contract import Contract
from dermedge.trust import UNSIGNED


def of(terms: Contract, signature: str) -> dict[str, Any]:
    """Threshold and whose it is, sha256 of the model, its gate, and its bundle's signature."""
    rule = terms.decision
    return {
        "threshold": rule.threshold,
        "chosen_for": rule.chosen_for,
        "threshold_by_user": threshold.is_users(rule),
        "model": terms.model.sha256,
        "failed_gate": terms.failed_gate,
        "signature": signature,
    }


def remark(terms: Contract, signature: str) -> str:
    """What must be seen beside every judgement; empty if nothing is out of the ordinary."""
    rule = terms.decision
    said = {
        f"threshold {rule.threshold:.3f} set by the user": threshold.is_users(rule),
        "this model failed its gate": terms.failed_gate,
        "this model is unsigned": signature == UNSIGNED,
    }
    return "; ".join(text for text, holds in said.items() if holds)
