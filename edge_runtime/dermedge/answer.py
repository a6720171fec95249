"""What the kit says of one photograph, as a line of text or of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dermedge import basis
from dermedge.contract import Contract
from dermedge.decide import top
from dermedge.diagnose import Diagnosis
from dermedge.errors import ImageError
from dermedge.trust import NOT_CHECKED, UNSIGNED


def as_text(
    path: Path, found: Diagnosis | ImageError, terms: Contract, signature: str = NOT_CHECKED
) -> str:
    """One line for a person; `signature` is the bundle's."""
    if isinstance(found, ImageError):
        return f"{'error':<14}        {found}"
    rule = terms.decision
    unsigned = "; UNSIGNED MODEL" if signature == UNSIGNED else ""
    return (
        f"{found.decision:<14} {found.probability:6.3f}  "
        f"({_leading(found, terms)}threshold {rule.threshold:.3f} for {rule.chosen_for}; "
        f"quality: {found.quality.verdict}; {found.latency_ms:.0f} ms{unsigned})  {path}"
    )


def as_json(
    path: Path, found: Diagnosis | ImageError, terms: Contract, signature: str = NOT_CHECKED
) -> str:
    """One JSON object; one with `error` and no judgement for a file that can't be judged."""
    if isinstance(found, ImageError):
        return json.dumps({"image": str(path), "error": str(found)})
    names = (label.name for label in terms.labels)
    each = (round(probability, 6) for probability in found.probabilities)
    line = {} if terms.positive else {"top": _rounded(top(np.array(found.probabilities), terms))}
    return json.dumps(
        {
            "image": str(path),
            "probability": round(found.probability, 6),
            "decision": found.decision,
            "quality": found.quality.verdict,
            "novelty": None if found.novelty is None else round(found.novelty, 4),
            "probabilities": dict(zip(names, each, strict=True)),
            "latency_ms": round(found.latency_ms, 3),
            **basis.of(terms, signature),
            **line,
        }
    )


def _leading(found: Diagnosis, terms: Contract) -> str:
    """The most probable classes, where no class is positive."""
    if terms.positive:
        return ""
    each = top(np.array(found.probabilities), terms)
    return f"{', '.join(f'{name} {p:.3f}' for name, p in each.items())}; "


def _rounded(each: dict[str, float]) -> dict[str, float]:
    return {name: round(p, 6) for name, p in each.items()}
