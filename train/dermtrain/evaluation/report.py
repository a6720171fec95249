"""A study -> report.html, figures.json and card.md."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dermedge import atomic, page
from dermtrain.evaluation import binary, card, heat, texts
from dermtrain.evaluation.study import Study

PAGE, FIGURES, CARD = "report.html", "figures.json", "card.md"


def write(found: Study, folder: Path) -> Path:
    """Write all three, each whole or not at all.

    Returns:
        The page's path.

    Raises:
        MissingError: jinja2 or matplotlib is not installed.
        StorageError: The folder can't be written.
    """
    text = render(found)
    figures = json.dumps(as_dict(found), indent=2, allow_nan=False, ensure_ascii=False)
    atomic.write_text(folder / FIGURES, figures + "\n")
    atomic.write_text(folder / CARD, card.to_markdown(card.write(found)))
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def as_dict(found: Study) -> dict[str, Any]:
    """What figures.json holds: every figure of the study, and what it rests on."""
    table, terms = found.predictions.table, found.predictions.contract
    return _plain(
        {
            "model": str(found.judge.path),
            "model_sha256": terms.model.sha256,
            "data": str(table.source),
            "licence": table.licences,
            "made_up": found.made_up,
            "measured_at": found.measured_at,
            "version": found.version,
            "plan": found.plan,
            "prevalence": found.prevalence if terms.positive else None,
            "threshold": terms.decision.threshold,
            "temperature": terms.calibration.temperature,
            "minimum_of_a_class": binary.MINIMUM,
            "photographs": len(table.rows),
            "groups": len(np.unique(found.group)),
            "not_assessable": found.predictions.not_assessable,
            "learnt_from": found.learnt,
            "binary": found.binary,
            "operating_points": found.points,
            "decision_curve": found.benefit,
            "calibration": found.calibration,
            "classes": found.classes,
            "top_class": found.top,
            "subgroups": found.subgroups,
            "corruptions": found.robustness,
            "notice": terms.notice,
        }
    )


def render(found: Study) -> str:
    """The page's HTML; it asks for no other file and no network."""
    return page.render(
        "evaluate.html.j2",
        "dermtrain",
        made_up=found.made_up,
        study=found,
        terms=found.predictions.contract,
        table=found.predictions.table,
        tiles=texts.tiles(found),
        verdict=texts.verdict(found),
        figures=texts.figures(found),
        points=texts.points(found),
        curve=texts.curve(found),
        calibrated=texts.calibrated(found),
        subgroups=texts.subgroups(found),
        columns=texts.columns(found),
        heat=heat.tables(found.robustness),
        counts=texts.counts(found),
        minimum=binary.MINIMUM,
        plots=texts.plots(found),
        card=card.write(found),
    )


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and what is not finite -> what JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
