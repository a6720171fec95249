"""Bundles on one labelled table, by the very path that a photograph takes on the device -> figures."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import Any

from dermedge import __version__, bundle, image, metrics, timing
from dermedge.bundle import Bundle
from dermedge.contract import Contract, Provenance
from dermedge.device import Device, this_device
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.metrics import Agreement, Difference, Figures, Labels
from dermedge.predictions import Predictions, predict, truth
from dermedge.progress import Progress, silent
from dermedge.table import Table

_TIMED = 4  # photographs kept in memory for the timing, spread over the table


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: rows of which split, on how many threads, over how many timed runs."""

    split: str = "test"
    threads: int | None = None
    runs: int = timing.RUNS


@dataclass(frozen=True, slots=True)
class Setting:
    """What all models of one measurement share.

    `made_up` is empty, or says in words what was made up: the photographs, or those of training.
    """

    data: str
    split: str
    licence: str
    made_up: str
    notice: str
    measured_at: str
    version: str
    device: Device


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: the model file, the same compressed (deflate, as in the bundle), the bundle file."""

    model: int
    zipped: int
    bundle: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One bundle, measured; `chosen_for` is what its threshold was chosen for."""

    file: str
    sha256: str
    chosen_for: str
    not_assessable: int
    figures: Figures
    sizes: Sizes
    latency: timing.Latency
    start: timing.ColdStart
    provenance: Provenance
    predictions: Predictions

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the predictions are left to `predictions.csv`."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "predictions"}
        return {k: v if isinstance(v, (str, int)) else asdict(v) for k, v in values.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One bundle on one table."""

    setting: Setting
    model: Measured

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self.setting), "model": self.model.as_dict()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The small model beside the float one; `difference` is AUC small - AUC float."""

    setting: Setting
    full: Measured
    small: Measured
    difference: Difference
    agreement: Agreement
    table: Table
    labels: Labels

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the rows of the table are left to `predictions.csv`."""
        return {
            **asdict(self.setting),
            "float": self.full.as_dict(),
            "small": self.small.as_dict(),
            "auc_difference": asdict(self.difference),
            "agreement": asdict(self.agreement),
        }


def evaluate(
    opened: Bundle, table: Table, plan: Plan | None = None, progress: Progress = silent
) -> Evaluation:
    """Measure one bundle.

    Raises:
        TableError: The table has no such split, or a label that the model does not know.
        InputError: One class only, or photographs that can't be read.
    """
    plan = plan or Plan()
    part = table.part(plan.split)
    (model,) = _measure([opened], part, truth(part, opened.contract), plan, progress)
    return Evaluation(_setting([opened.contract], part, plan), model)


def compare(
    full: Bundle,
    small: Bundle,
    table: Table,
    plan: Plan | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Measure two bundles on the same photographs, side by side.

    Raises:
        TableError: The table has no such split, or a label that the models do not know.
        InputError: The bundles differ in their classes; one class only in the table; photographs
            that can't be read.
        KitError: A fresh process failed: see `timing.cold_start`.
    """
    plan = plan or Plan()
    _check_same_classes(full, small)
    part = table.part(plan.split)
    labels = truth(part, full.contract)
    one, two = _measure([full, small], part, labels, plan, progress)
    first, second = one.predictions, two.predictions
    return Comparison(
        setting=_setting([full.contract, small.contract], part, plan),
        full=one,
        small=two,
        difference=metrics.auc_difference(labels, first.probabilities, second.probabilities),
        agreement=metrics.agreement(first.positive, second.positive),
        table=part,
        labels=labels,
    )


def passes(comparison: Comparison, margin: float) -> bool:
    """Whether the small model may stand in: non-inferiority of its AUC at this margin.

    True if the lower 95 % bound of AUC(small) - AUC(float) is not below -margin.
    """
    return comparison.difference.interval.low >= -margin


def _measure(
    bundles: Sequence[Bundle], table: Table, labels: Labels, plan: Plan, progress: Progress
) -> list[Measured]:
    metrics.check(labels)
    judges = [Diagnostician(opened, plan.threads) for opened in bundles]
    predictions = predict(judges, table, progress)
    step = -(-len(table.rows) // _TIMED)
    paths = [table.path(row) for row in table.rows[::step]]
    speeds = timing.latencies(judges, [image.read(path) for path in paths], plan.runs, progress)
    starts = []
    for done, opened in enumerate(bundles, 1):
        starts.append(timing.cold_start(opened.path, paths[0], plan.threads))
        progress("cold start", done, len(bundles))
    parts = zip(bundles, predictions, speeds, starts, strict=True)
    return [_measured(labels, *part) for part in parts]


def _measured(
    labels: Labels,
    opened: Bundle,
    predictions: Predictions,
    latency: timing.Latency,
    start: timing.ColdStart,
) -> Measured:
    rule = opened.contract.decision
    return Measured(
        file=opened.path.name,
        sha256=opened.sha256,
        chosen_for=rule.chosen_for,
        not_assessable=predictions.not_assessable,
        figures=metrics.figures(labels, predictions.probabilities, rule.threshold),
        sizes=_sizes(opened),
        latency=latency,
        start=start,
        provenance=opened.contract.provenance,
        predictions=predictions,
    )


def _sizes(opened: Bundle) -> Sizes:
    with zipfile.ZipFile(opened.path) as archive:
        zipped = archive.getinfo(bundle.MODEL).compress_size
    return Sizes(len(opened.model), zipped, opened.path.stat().st_size)


def _setting(contracts: Sequence[Contract], table: Table, plan: Plan) -> Setting:
    trained = any(terms.provenance.made_up for terms in contracts)
    steps = [word for word, so in (("trained", trained), ("measured", table.made_up)) if so]
    return Setting(
        data=str(table.source),
        split=plan.split,
        licence=table.licences,
        made_up=f"{' and '.join(steps)} on made-up photographs" if steps else "",
        notice=contracts[0].notice,
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        device=this_device(),
    )


def _check_same_classes(full: Bundle, small: Bundle) -> None:
    ours, theirs = full.contract.labels, small.contract.labels
    if ours != theirs:
        raise InputError(
            f"expected two bundles with the same classes: {full.path} has {_classes(full)}, "
            f"{small.path} has {_classes(small)}"
        )


def _classes(opened: Bundle) -> str:
    names = (
        f"{label.name}{' (positive)' if label.positive else ''}" for label in opened.contract.labels
    )
    return ", ".join(names)
