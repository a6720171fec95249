"""`kit evaluate --out`, from the model and the photographs to everything that was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermedge import __version__
from dermedge import table as tables
from dermedge.errors import InputError
from dermedge.predictions import Predictions, made_up, top_figures_of
from dermedge.progress import Progress, silent
from dermedge.table import Table
from dermedge.topclass import TopFigures
from dermtrain.evaluation import (
    benefit,
    binary,
    calibration,
    judge,
    multiclass,
    subgroups,
)
from dermtrain.evaluation.judge import Judge
from dermtrain.evaluation.operating import Point, point
from dermtrain.evaluation.robustness import Robustness


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        split: Which rows; see `Table.part_or_all`.
        prevalence: Share of positives where the model is used; that of the photographs if None.
        resamples: Of every bootstrap.
        corruptions: Whether to measure under corruptions.
        sample: Photographs under each corruption, at most.
        views: Mirrored views that are averaged, 1 to 4.
        seed: Of bootstrap and sample.
    """

    split: str = "test"
    prevalence: float | None = None
    resamples: int = 2000
    corruptions: bool = False
    sample: int = 100
    views: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            InputError: A prevalence that is not between 0 and 1.
        """
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise InputError(f"expected a prevalence between 0 and 1, found {self.prevalence:g}")


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that was found about one model on one set of photographs.

    Attributes:
        judge: The model.
        plan: What was asked for.
        predictions: What the model says of each photograph.
        group: Number of each photograph's patient or lesion, (n,).
        binary: None if no class is positive.
        points: The frozen operating points, the one in use first.
        benefit: Decision curve.
        calibration: Before and after the temperature.
        classes: None if there are two classes, one of them positive.
        top: How sure the top class is, if no class is positive.
        subgroups: Every figure again.
        robustness: None if not asked for.
        own: All photographs of the run, with their splits; None for a bundle.
        learnt: Photographs measured that bear the name of one that the run learnt or chose from;
            None if that can't be known.
        measured_at: When, UTC.
        version: Of dermkit.
    """

    judge: Judge
    plan: Plan
    predictions: Predictions
    group: npt.NDArray[np.int64]
    binary: binary.Figures | None
    points: tuple[Point, ...]
    benefit: benefit.Curve | None
    calibration: calibration.Calibration | None
    classes: multiclass.Figures | None
    top: TopFigures | None
    subgroups: tuple[subgroups.Attribute, ...]
    robustness: Robustness | None
    own: Table | None
    learnt: int | None
    measured_at: str
    version: str = __version__

    @property
    def made_up(self) -> str:
        """What was made up, in words; else empty."""
        return made_up(self.predictions)

    @property
    def prevalence(self) -> float:
        """The prevalence for which PPV, NPV and benefit hold."""
        if self.plan.prevalence is not None:
            return self.plan.prevalence
        return float(self.predictions.labels.mean())


def study(
    model: Judge, table: Table, plan: Plan, own: Table | None = None, progress: Progress = silent
) -> Study:
    """Measure one model on labelled photographs.

    Args:
        model: The model.
        table: The photographs, only those that are to be measured.
        plan: What is asked for.
        own: All photographs of the run.
        progress: Told how far each stage is.

    Raises:
        TableError: A label that the model does not know.
        InputError: One class only, or photographs that can't be read.
    """
    predictions = judge.predict(model, table, plan.views, progress)
    group = table.groups
    terms = model.contract
    every = np.ones(len(group), np.bool_)
    whole = _measure(predictions, group, plan, every)
    points: tuple[Point, ...] = ()
    decision = calibrated = None
    if terms.positive:
        labels, p = predictions.labels, predictions.probabilities
        limits = terms.decision.thresholds
        order = sorted(limits, key=lambda name: name != terms.decision.chosen_for)
        points = tuple(point(name, limits[name], labels, p) for name in order)
        decision = benefit.curve(labels, p, group, plan.prevalence, plan.resamples, plan.seed)
        calibrated = calibration.measure(predictions, plan.seed)
    groups = subgroups.measure(
        table.rows, lambda rows: _measure(predictions, group, plan, rows), progress
    )
    return Study(
        judge=model,
        plan=plan,
        predictions=predictions,
        group=group,
        binary=whole[0],
        points=points,
        benefit=decision,
        calibration=calibrated,
        classes=whole[1],
        top=None if terms.positive else top_figures_of(predictions),
        subgroups=groups,
        robustness=_robustness(model, table, plan, progress),
        own=own,
        learnt=_learnt(table, own),
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _measure(
    predictions: Predictions, group: npt.NDArray[np.int64], plan: Plan, rows: npt.NDArray[np.bool_]
) -> tuple[binary.Figures | None, multiclass.Figures | None]:
    terms = predictions.contract
    two = several = None
    if terms.positive:
        rule = binary.Rule(terms.decision.threshold, plan.prevalence)
        two = binary.measure(
            predictions.labels[rows],
            predictions.probabilities[rows],
            group[rows],
            rule,
            plan.resamples,
            plan.seed,
        )
    if len(terms.labels) > 2 or not terms.positive:
        several = multiclass.measure(
            [label.name for label in terms.labels],
            predictions.targets[rows],
            predictions.class_probabilities[rows],
            group[rows],
            plan.resamples,
            plan.seed,
        )
    return two, several


def _robustness(model: Judge, table: Table, plan: Plan, progress: Progress) -> Robustness | None:
    if not plan.corruptions:
        return None
    from dermtrain.evaluation import robustness

    return robustness.measure(model, table, plan.sample, plan.views, plan.seed, progress)


def _learnt(table: Table, own: Table | None) -> int | None:
    """How many photographs bear the file name of one of the run's training or validation."""
    if own is None:
        return None
    seen = {Path(row.image).name for row in own.rows if row.split in tables.SPLITS[:2]}
    return sum(Path(row.image).name in seen for row in table.rows)
