"""A study -> what the page says: rows of text, and plots with their captions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dermedge.intervals import Interval
from dermedge.summary import Cell, interval, signed
from dermtrain.evaluation import binary, multiclass, operating
from dermtrain.evaluation.resample import NO_SPREAD
from dermtrain.evaluation.study import Study

# The columns of the subgroups' table; all other figures of each subgroup stand in figures.json.
_COLUMNS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "specificity_at_90_sensitivity": "Specificity at 90 % sensitivity",
    "pr_auc": "PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
    "ppv": "PPV",
    "npv": "NPV",
}
_GROUPS = {
    "Ranking": (
        *("auc", "pr_auc", "partial_auc_sensitivity_80", "auc_sens_80", "partial_auc_mcclish"),
    ),
    "Along the curve (thresholds chosen on these very photographs: they describe the curve)": (
        *("specificity_at_82_sensitivity", "specificity_at_90_sensitivity"),
        *("specificity_at_95_sensitivity", "sensitivity_at_90_specificity"),
        "sensitivity_at_95_specificity",
    ),
    "At the frozen threshold": (
        *("sensitivity", "specificity", "balanced_accuracy", "ppv", "npv"),
    ),
    "Probabilities": ("brier", "log_loss", "ece"),
}


def cell(one: binary.Measure | Interval | None) -> Cell:
    """A figure with its interval, or why there is none."""
    if isinstance(one, binary.Measure):
        return cell(one.interval) if one.interval else Cell("\u2013", one.why)
    if one is None:
        return Cell("\u2013", "not evaluated: no such photographs")
    return Cell(f"{one.value:.3f}", NO_SPREAD) if one.method == NO_SPREAD else interval(one)


def tiles(study: Study) -> list[tuple[str, Cell]]:
    """The four figures that most readers come for."""
    if study.binary is not None:
        first = study.points[0]
        return [
            ("AUC (DeLong)", cell(study.binary.auc_delong)),
            ("Sensitivity, frozen threshold", interval(first.sensitivity)),
            ("Specificity, frozen threshold", interval(first.specificity)),
            (
                "Specificity at 90 % sensitivity",
                cell(study.binary.measures["specificity_at_90_sensitivity"]),
            ),
        ]
    assert study.classes is not None
    return [
        ("Balanced accuracy (ISIC)", interval(study.classes.balanced)),
        ("Likeliest class is right", interval(study.classes.top1)),
        ("Mean AUC, one against the rest", cell(study.classes.mean_auc)),
    ]


def verdict(study: Study) -> str:
    """What the frozen threshold achieved against the goal, in one sentence without praise."""
    if study.binary is None:
        return (
            "No class of this model counts as positive: sensitivity, specificity, predictive "
            "values and benefit are not defined; the classes are told apart as below."
        )
    found = study.points[0].sensitivity
    goal = operating.GOAL_SENSITIVITY
    if found.low >= goal:
        word = "meets the goal of 90 % sensitivity, its interval included"
    elif found.value >= goal:
        word = "meets the goal of 90 % sensitivity, but its interval reaches below it"
    elif found.high >= goal:
        word = "misses the goal of 90 % sensitivity, which its interval still holds"
    else:
        word = "misses the goal of 90 % sensitivity"
    cleared = study.points[0].specificity
    return (
        f"At its frozen threshold the model finds {_percent(found)} of the positive photographs "
        f"and clears {_percent(cleared)} of the negative ones: it {word}."
    )


def figures(study: Study) -> list[tuple[str, list[tuple[str, Cell]]]]:
    """Every figure of all photographs, in groups."""
    if study.binary is None:
        return []
    found = study.binary.measures
    groups = [
        (title, [(found[key].title, cell(found[key])) for key in keys])
        for title, keys in _GROUPS.items()
    ]
    groups[0][1].insert(0, ("AUC (DeLong)", cell(study.binary.auc_delong)))
    return groups


def points(study: Study) -> list[dict[str, Any]]:
    """The frozen operating points, each with its counts."""
    return [
        {
            "name": one.name.replace(">=", " \u2265 "),
            "threshold": f"{one.threshold:.4f}",
            "sensitivity": interval(one.sensitivity),
            "specificity": interval(one.specificity),
            "referred": interval(one.referred),
            "counts": (
                *(one.true_positive, one.false_negative, one.false_positive, one.true_negative),
            ),
            "ppv": _value(operating.positive_value, one, study.prevalence),
            "npv": _value(operating.negative_value, one, study.prevalence),
        }
        for one in study.points
    ]


def curve(study: Study) -> str:
    """For which thresholds the model is worth something, in words."""
    if study.benefit is None:
        return ""
    stretches = [f"{100 * low:.3g} to {100 * high:.3g} %" for low, high in study.benefit.useful]
    return ", ".join(stretches)


def calibrated(study: Study) -> list[tuple[str, str, str]]:
    """Figures before and after the temperature."""
    found = study.calibration
    if found is None:
        return []

    def number(value: float | None) -> str:
        return "not fitted" if value is None else signed(value, plus="")

    rows = (
        ("Brier score", found.before.brier, found.after.brier),
        ("Log loss (nats)", found.before.log_loss, found.after.log_loss),
        ("Calibration error (ECE)", found.before.ece, found.after.ece),
        ("Mean probability", found.before.mean, found.after.mean),
        ("Calibration intercept (0 is right)", found.before.intercept, found.after.intercept),
        ("Calibration slope (1 is right)", found.before.slope, found.after.slope),
    )
    return [(name, number(before), number(after)) for name, before, after in rows]


def columns(study: Study) -> list[str]:
    """Titles of the columns of the subgroups' table."""
    two = list(_COLUMNS.values()) if study.binary is not None else []
    return two + (["Balanced over classes", "Top-1"] if study.classes is not None else [])


def subgroups(study: Study) -> list[dict[str, Any]]:
    """Each attribute with its subgroups, a row of cells each."""
    return [
        {
            "name": attribute.name.replace("_", " "),
            "why": attribute.why,
            "unknown": attribute.unknown,
            "rows": [
                {
                    "name": group.name,
                    "n": group.n,
                    "positives": group.binary.positives if group.binary is not None else None,
                    "cells": _cells(group.binary, group.classes),
                }
                for group in attribute.subgroups
            ],
        }
        for attribute in study.subgroups
    ]


def counts(study: Study) -> list[tuple[str, int]]:
    """Photographs of each class."""
    return sorted(Counter(row.label for row in study.predictions.table.rows).items())


def plots(study: Study) -> dict[str, Any]:
    """SVG elements by name; none where the study has nothing to draw."""
    from markupsafe import Markup

    from dermtrain.evaluation import plots as draw

    if study.binary is None:
        return {}
    drawn = {
        "roc": draw.roc,
        "precision_recall": draw.precision_recall,
        "predictive_values": draw.predictive_values,
        "decision_curve": draw.decision_curve,
        "reliability": draw.reliability,
        "spread": draw.spread,
        "forest": draw.forest,
    }
    # The elements are ours, and matplotlib has escaped what it was given.
    return {name: Markup(function(study)) for name, function in drawn.items()}


def _percent(found: Interval) -> str:
    value, low, high = (f"{100 * share:.1f}" for share in (found.value, found.low, found.high))
    return f"{value} % ({low} to {high} %)"


def _cells(two: binary.Figures | None, several: multiclass.Figures | None) -> list[Cell]:
    cells = []
    if two is not None:
        cells += [_short(two.measures[key]) for key in _COLUMNS]
    if several is not None:
        cells += [interval(several.balanced), interval(several.top1)]
    return cells


def _short(one: binary.Measure) -> Cell:
    return cell(one.interval) if one.interval else Cell("\u2013", one.why[15:].split(",")[0])


def _value(formula: Any, one: operating.Point, prevalence: float) -> str:
    import numpy as np

    value = formula(
        np.array([one.sensitivity.value]), np.array([one.specificity.value]), prevalence
    )[0]
    return f"{value:.3f}" if np.isfinite(value) else "\u2013"
