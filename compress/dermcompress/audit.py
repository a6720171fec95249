"""Whom does compression harm: by class, by subgroup, by the kind of spoilt photograph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dermcompress import stress as strain
from dermcompress.paired import Change, McNemar, Rows, auc_change, mcnemar, right, share_change
from dermcompress.stress import Stress
from dermedge import metrics, topclass
from dermedge.compare import Measured
from dermedge.delong import Groups
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.predictions import Predictions
from dermedge.progress import Progress, silent
from dermtrain.evaluation.binary import MINIMUM
from dermtrain.evaluation.subgroups import Parting, parts


@dataclass(frozen=True, slots=True)
class ClassChange:
    """One class: its AUC against the rest, and the share of it that is found.

    `found` is that of the frozen threshold with two classes of which one is positive, and that of
    the top class otherwise. None: fewer than MINIMUM photographs of the class (or of the rest).
    """

    name: str
    n: int
    auc: Change | None
    found: Change | None


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One subgroup.

    Attributes:
        name: Value of the attribute, or band of values.
        n: Photographs.
        positives: Those of a positive class; 0 if no class is positive.
        auc: AUC; without positive classes the mean AUC of the classes.
        caught: Sensitivity at each model's frozen threshold; without positive classes accuracy.
    """

    name: str
    n: int
    positives: int
    auc: Change | None
    caught: Change | None


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One thing that the table states of its photographs; `why` says why nothing was evaluated."""

    name: str
    why: str
    groups: tuple[GroupChange, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class Worst:
    """The subgroup, of `among`, that loses most of one figure."""

    attribute: str
    group: str
    n: int
    change: Change
    among: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What compression changed, in parts that an average hides.

    Attributes:
        file: The small bundle that was audited.
        n: Photographs.
        decisions: Right and wrong decisions of both models.
        classes: Each class.
        attributes: Each subgroup of each attribute; what the table does not state says so.
        worst_auc: The subgroup that loses most AUC; None if none could be evaluated.
        worst_caught: The same of sensitivity, or of accuracy.
        stress: Under corruptions.
    """

    file: str
    n: int
    decisions: McNemar
    classes: tuple[ClassChange, ...]
    attributes: tuple[AttributeChange, ...]
    worst_auc: Worst | None
    worst_caught: Worst | None
    stress: Stress

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"minimum_of_a_class": MINIMUM, **asdict(self)}


def audit(
    full: Measured,
    small: Measured,
    judges: tuple[Diagnostician, Diagnostician],
    most: int = strain.MOST,
    seed: int = 0,
    progress: Progress = silent,
) -> Audit:
    """Hold a small model against the full one, part by part, on the photographs both were given.

    Args:
        full: The full model, from the same `compare.measure` as the small one.
        small: The model that is to be shipped.
        judges: Both again, opened: they judge the spoilt photographs.
        most: Photographs that are spoilt, at most; see `stress.stress`.
        seed: Of their draw and of the corruptions.
        progress: Told of the corruptions.

    Raises:
        InputError: The models were measured on different photographs.
        ImageError: A photograph that can't be read any more.
    """
    first, second = full.predictions, small.predictions
    if first.table != second.table:
        raise InputError(f"{full.file} and {small.file} were measured on different photographs")
    attributes = tuple(_attribute(one, first, second) for one in parts(first.table.rows))
    return Audit(
        file=small.file,
        n=len(first.table.rows),
        decisions=mcnemar(right(first), right(second)),
        classes=tuple(_classes(first, second)),
        attributes=attributes,
        worst_auc=_worst(attributes, lambda group: group.auc),
        worst_caught=_worst(attributes, lambda group: group.caught),
        stress=strain.stress(judges, first.table, most, seed, progress),
    )


def _classes(first: Predictions, second: Predictions) -> Iterator[ClassChange]:
    labels, targets = first.contract.labels, first.targets
    two = len(labels) == 2 and bool(first.contract.positive)
    before, after = (right(p) if two else _top_right(p) for p in (first, second))
    p, q = first.class_probabilities, second.class_probabilities
    groups = first.table.groups
    for label in labels:
        own = targets == label.id
        n, others = int(own.sum()), int((~own).sum())
        yield ClassChange(
            name=label.name,
            n=n,
            auc=_one_against_rest(own, p[:, label.id], q[:, label.id], groups)
            if min(n, others) >= MINIMUM
            else None,
            found=share_change(before[own], after[own]) if n >= MINIMUM else None,
        )


def _top_right(predictions: Predictions) -> Rows:
    return topclass.right(predictions.targets, predictions.class_probabilities)


def _one_against_rest(
    own: Rows, before: metrics.Scores, after: metrics.Scores, groups: Groups
) -> Change:
    bounds = metrics.auc_difference(own, before, after, groups).interval
    return Change(metrics.auc(own, before), metrics.auc(own, after), bounds)


def _attribute(parting: Parting, first: Predictions, second: Predictions) -> AttributeChange:
    groups = tuple(_group(name, rows, first, second) for name, rows in parting.members.items())
    return AttributeChange(parting.name, parting.why, groups, parting.unknown)


def _group(name: str, rows: Rows, first: Predictions, second: Predictions) -> GroupChange:
    labels, targets = first.labels[rows], first.targets[rows]
    positives, n = int(labels.sum()), int(rows.sum())
    if first.contract.positive:
        asked = rows & first.labels
        ranked = min(positives, n - positives) >= MINIMUM
    else:
        asked = rows
        ranked = n >= MINIMUM and len(np.unique(targets)) > 1
    caught = None
    if asked.sum() >= MINIMUM:
        caught = share_change(right(first)[asked], right(second)[asked])
    auc = auc_change(first, second, rows) if ranked else None
    return GroupChange(name, n, positives, auc, caught)


def _worst(
    attributes: tuple[AttributeChange, ...], pick: Callable[[GroupChange], Change | None]
) -> Worst | None:
    """The group with the lowest difference, of those that have one."""
    known = [
        (attribute.name, group, change)
        for attribute in attributes
        for group in attribute.groups
        if (change := pick(group)) is not None
    ]
    if not known:
        return None
    name, group, change = min(known, key=lambda one: one[2].difference.value)
    return Worst(name, group.name, group.n, change, len(known))
