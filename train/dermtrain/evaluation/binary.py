"""Positive or negative: every figure of one set of photographs, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermedge.delong import auc_interval
from dermedge.intervals import Interval, wilson
from dermtrain.evaluation import operating, probability, ranking
from dermtrain.evaluation.resample import NO_SPREAD, percentile, samples
from dermtrain.evaluation.sample import Floats, Labels, Sample, weigh

MINIMUM = 10  # photographs of a class; on fewer, no figure that needs it is given


@dataclass(frozen=True, slots=True)
class Rule:
    """What was fixed beforehand: the threshold in use, and the prevalence that is assumed."""

    threshold: float
    prevalence: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. Without an interval it was not evaluated, and `why` says why."""

    title: str
    interval: Interval | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Formula:
    """One figure's formula; `needs` are the classes without which it says nothing."""

    title: str
    needs: str
    compute: Callable[[Sample, Rule], Floats]


def _prevalence(sample: Sample, rule: Rule) -> float | Floats:
    if rule.prevalence is not None:
        return rule.prevalence
    return sample.positives / (sample.positives + sample.negatives)


def _rates(sample: Sample, rule: Rule) -> tuple[Floats, Floats]:
    found = operating.sensitivity(sample, rule.threshold)
    return found, operating.specificity(sample, rule.threshold)


FORMULAS: Mapping[str, Formula] = {
    "auc": Formula("AUC (group bootstrap)", "both", lambda s, r: ranking.auc(s)),
    "pr_auc": Formula(
        "PR-AUC (average precision)", "both", lambda s, r: ranking.average_precision(s)
    ),
    "partial_auc_sensitivity_80": Formula(
        "Partial AUC above 80 % sensitivity (ISIC 2024; 0 to 0.2)",
        "both",
        lambda s, r: ranking.area_above(s, 0.8),
    ),
    "auc_sens_80": Formula(
        "Area beyond 80 % sensitivity (ISIC 2018, 2019; 0 to 1)",
        "both",
        lambda s, r: ranking.area_beyond(s, 0.8),
    ),
    "partial_auc_mcclish": Formula(
        "Partial AUC above 80 % specificity, rescaled (McClish; 0.5 to 1)",
        "both",
        lambda s, r: ranking.mcclish(s, 0.2),
    ),
    "specificity_at_82_sensitivity": Formula(
        "Specificity at the readers' 82 % sensitivity",
        "both",
        lambda s, r: operating.specificity_at(s, operating.READERS_SENSITIVITY),
    ),
    "specificity_at_90_sensitivity": Formula(
        "Specificity at 90 % sensitivity", "both", lambda s, r: operating.specificity_at(s, 0.90)
    ),
    "specificity_at_95_sensitivity": Formula(
        "Specificity at 95 % sensitivity", "both", lambda s, r: operating.specificity_at(s, 0.95)
    ),
    "sensitivity_at_90_specificity": Formula(
        "Sensitivity at 90 % specificity", "both", lambda s, r: operating.sensitivity_at(s, 0.90)
    ),
    "sensitivity_at_95_specificity": Formula(
        "Sensitivity at 95 % specificity", "both", lambda s, r: operating.sensitivity_at(s, 0.95)
    ),
    "sensitivity": Formula("Sensitivity", "positive", lambda s, r: _rates(s, r)[0]),
    "specificity": Formula("Specificity", "negative", lambda s, r: _rates(s, r)[1]),
    "balanced_accuracy": Formula(
        "Balanced accuracy", "both", lambda s, r: operating.balanced_accuracy(s, r.threshold)
    ),
    "ppv": Formula(
        "PPV", "both", lambda s, r: operating.positive_value(*_rates(s, r), _prevalence(s, r))
    ),
    "npv": Formula(
        "NPV", "both", lambda s, r: operating.negative_value(*_rates(s, r), _prevalence(s, r))
    ),
    "brier": Formula("Brier score", "any", lambda s, r: probability.brier(s)),
    "log_loss": Formula("Log loss (nats)", "any", lambda s, r: probability.log_loss(s)),
    "ece": Formula(
        f"Calibration error (ECE, {probability.BINS} bins of equal mass)",
        "any",
        lambda s, r: probability.calibration_error(s),
    ),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Every figure of one set of photographs.

    Attributes:
        n: Photographs.
        positives: Of them positive.
        groups: Patients, lesions, or single photographs that were resampled whole.
        auc_delong: AUC with DeLong's interval, which takes photographs for independent.
        measures: By the keys of `FORMULAS`, with group-bootstrap intervals.
    """

    n: int
    positives: int
    groups: int
    auc_delong: Measure
    measures: Mapping[str, Measure]


def measure(
    labels: Labels,
    probabilities: Floats,
    group: npt.NDArray[np.int64],
    rule: Rule,
    resamples: int,
    seed: int,
) -> Figures:
    """Every figure of one set of photographs, as far as its classes allow.

    Args:
        labels: (n,), True for the positive classes.
        probabilities: (n,), calibrated.
        group: Of each photograph, (n,); see `Table.groups`.
        rule: Frozen threshold and assumed prevalence.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    counts = {"positive": int(labels.sum()), "negative": int((~labels).sum())}
    lacking = {key: _lacking(formula, counts) for key, formula in FORMULAS.items()}
    wanted = [key for key, why in lacking.items() if not why]
    found = _intervals(wanted, labels, probabilities, group, rule, resamples, seed)
    measures = {
        key: Measure(formula.title, found.get(key), lacking[key])
        for key, formula in FORMULAS.items()
    }
    delong = None if lacking["auc"] else auc_interval(labels, probabilities)
    return Figures(
        n=len(labels),
        positives=counts["positive"],
        groups=len(np.unique(group)),
        auc_delong=Measure("AUC (DeLong)", delong, lacking["auc"]),
        measures={
            key: one if one.interval is None or np.isfinite(one.interval.value) else _undefined(one)
            for key, one in measures.items()
        },
    )


def _intervals(
    wanted: list[str],
    labels: Labels,
    probabilities: Floats,
    group: npt.NDArray[np.int64],
    rule: Rule,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    if not len(labels):
        return {}
    # A subgroup may lack a class: what divides by it is not asked for, but counted all the same.
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = weigh(labels, probabilities)
        values = {key: float(FORMULAS[key].compute(whole, rule)[0]) for key in wanted}
        draws: dict[str, list[Floats]] = {key: [] for key in wanted}
        one_class = labels.all() or not labels.any()
        for sample in samples(labels, probabilities, group, resamples, seed, not one_class):
            for key in wanted:
                draws[key].append(FORMULAS[key].compute(sample, rule))
    none = [np.empty(0)]
    found = {key: percentile(values[key], np.concatenate(draws[key] or none)) for key in wanted}
    # Where all or none are found no resample differs, yet that is not known for sure.
    called = probabilities >= rule.threshold
    for key, hits in (("sensitivity", called[labels]), ("specificity", ~called[~labels])):
        if key in found and found[key].method == NO_SPREAD:
            found[key] = wilson(int(hits.sum()), len(hits))
    return found


def _lacking(formula: Formula, counts: Mapping[str, int]) -> str:
    """Why a figure isn't given; empty if it is."""
    needed = {"both": ("positive", "negative"), "any": ()}.get(formula.needs, (formula.needs,))
    few = [f"{counts[name]} {name}" for name in needed if counts[name] < MINIMUM]
    if formula.needs == "any" and sum(counts.values()) < MINIMUM:
        few = [f"{sum(counts.values())} photographs"]
    return f"not evaluated: {' and '.join(few)}, at least {MINIMUM} needed" if few else ""


def _undefined(one: Measure) -> Measure:
    return Measure(one.title, None, "not evaluated: undefined, nobody is called so")
