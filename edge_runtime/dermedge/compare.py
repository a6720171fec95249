"""A float and a small bundle on the same photographs, on the path of the device -> figures."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

import numpy as np

from dermedge import __version__, bundle, image, metrics, timing, topclass
from dermedge.bundle import Bundle
from dermedge.contract import Provenance
from dermedge.device import Device, this_device
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.intervals import wilson
from dermedge.macro import macro_auc_difference
from dermedge.metrics import Agreement, Difference, Figures, Labels
from dermedge.predictions import (
    Predictions,
    as_json,
    figures_of,
    made_up,
    predict,
    predict_together,
    top_figures_of,
)
from dermedge.progress import Progress, silent
from dermedge.summary import figures_table
from dermedge.table import Table
from dermedge.topclass import TopFigures

# `kit evaluate` measures one model with the same functions.
__all__ = [
    "Comparison",
    "Measured",
    "Plan",
    "Predictions",
    "Setting",
    "as_json",
    "compare",
    "figures_of",
    "figures_table",
    "measure",
    "pair",
    "passes",
    "predict",
    "to_csv",
]

TO_NEGATIVE, TO_POSITIVE = "positive -> negative", "negative -> positive"
TO_WRONG, TO_RIGHT = "right -> wrong", "wrong -> right"
_FLIPS = {(True, False): TO_NEGATIVE, (False, True): TO_POSITIVE}
_TOP_FLIPS = {(True, False): TO_WRONG, (False, True): TO_RIGHT}
_TIMED = 4  # photographs kept in memory for the timing, spread over the table


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: rows of which split, on how many threads, over how many timed runs."""

    split: str = "test"
    threads: int | None = None
    runs: int = timing.RUNS


@dataclass(frozen=True, slots=True)
class Setting:
    """What both models share; `made_up` is empty, or says in words what was made up."""

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
    figures: Figures | TopFigures
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
class Comparison:
    """The small model beside the float one; `difference` is AUC small - AUC float.

    Where no class is positive, the AUC is the mean of each class against the rest, and `agreement`
    tells how often both models lead with the same class; its counts are of top classes that turn
    from right to wrong and back.
    """

    setting: Setting
    full: Measured
    small: Measured
    difference: Difference
    agreement: Agreement

    @property
    def naming(self) -> bool:
        """Whether the models have no positive classes."""
        return not self.full.predictions.contract.positive

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the photographs are left to `predictions.csv`."""
        return {
            **asdict(self.setting),
            "ece_bins": metrics.BINS,
            "float": self.full.as_dict(),
            "small": self.small.as_dict(),
            "auc_difference": asdict(self.difference),
            "agreement": asdict(self.agreement),
        }

    def rows(self) -> list[dict[str, str]]:
        """One record for each photograph, in words: the rows of `predictions.csv`."""
        full, small = self.full.predictions, self.small.predictions
        before, after = called(full).tolist(), called(small).tolist()
        flips = _TOP_FLIPS if self.naming else _FLIPS
        truth = full.labels.tolist()
        return [
            {
                "image": row.image,
                "label": row.label,
                **({} if self.naming else {"positive": "yes" if truth[i] else "no"}),
                "prob_float": f"{full.probabilities[i]:.6f}",
                "prob_small": f"{small.probabilities[i]:.6f}",
                "decision_float": full.decisions[i],
                "decision_small": small.decisions[i],
                "quality_float": full.quality[i],
                "quality_small": small.quality[i],
                "flip": flips.get((before[i], after[i]), ""),
            }
            for i, row in enumerate(full.table.rows)
        ]


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
    first, second = measure((full, small), table, plan, progress)
    return pair(first, second, plan)


def measure(
    bundles: Sequence[Bundle],
    table: Table,
    plan: Plan,
    progress: Progress = silent,
    known: Mapping[str, Predictions] = MappingProxyType({}),
) -> list[Measured]:
    """Measure bundles on the same photographs, their timed runs taking turns.

    Args:
        bundles: One or more, with the same classes.
        table: Labelled photographs; those of the plan's split are measured.
        plan: What is measured.
        progress: Told of photographs, timed runs and cold starts.
        known: What bundles said of these very photographs before, by the bundles' sha256: they are
            not asked again.

    Returns:
        One for each bundle, in their order.

    Raises:
        TableError, InputError, KitError: See `compare`.
    """
    for other in bundles[1:]:
        _check_same_classes(bundles[0], other)
    part = table.part_or_all(plan.split)
    judges = [Diagnostician(opened, plan.threads) for opened in bundles]
    pairs = zip(judges, bundles, strict=True)
    new = [judge for judge, opened in pairs if opened.sha256 not in known]
    asked = iter(predict_together(new, part, progress) if new else ())
    predictions = [known.get(opened.sha256) or next(asked) for opened in bundles]
    step = -(-len(part.rows) // _TIMED)
    paths = [part.path(row) for row in part.rows[::step]]
    speeds = timing.latencies(judges, [image.read(path) for path in paths], plan.runs, progress)
    starts = []
    for done, opened in enumerate(bundles, 1):
        starts.append(timing.cold_start(opened.path, paths[0], plan.threads))
        progress("cold start", done, len(bundles))
    parts = zip(bundles, predictions, speeds, starts, strict=True)
    return [_measured(*found) for found in parts]


def pair(full: Measured, small: Measured, plan: Plan) -> Comparison:
    """Set the small model beside the float one.

    Args:
        full: The float model, measured.
        small: The small model, from the same `measure`.
        plan: With which both were measured.

    Raises:
        InputError: They were measured on different photographs.
    """
    first, second = full.predictions, small.predictions
    if first.table != second.table:
        raise InputError(
            f"expected two models measured on the same photographs: {full.file} saw "
            f"{len(first.table.rows)} of {first.table.source}, {small.file} "
            f"{len(second.table.rows)} of {second.table.source}"
        )
    return Comparison(
        setting=_setting(first, second, plan),
        full=full,
        small=small,
        difference=auc_difference(first, second),
        agreement=_agreement(first, second),
    )


def called(predictions: Predictions) -> Labels:
    """What is compared between the models, bool (n,): called positive at the model's own threshold.

    Where no class is positive: whether its top class is right.
    """
    if predictions.contract.positive:
        return predictions.positive
    return topclass.right(predictions.targets, predictions.class_probabilities)


def passes(comparison: Comparison, margin: float) -> bool:
    """Whether the small model may stand in: non-inferiority of its AUC at this margin.

    True if the lower 95 % bound of AUC(small) - AUC(float) is not below -margin.
    """
    return comparison.difference.within(margin)


def to_csv(rows: Sequence[dict[str, str]]) -> str:
    """The text of `predictions.csv`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def auc_difference(first: Predictions, second: Predictions) -> Difference:
    """AUC of the second model less that of the first, paired, on the same photographs.

    Without positive classes it is the mean of each class against the rest.
    """
    if first.contract.positive:
        each = first.probabilities, second.probabilities
        return metrics.auc_difference(first.labels, *each, first.table.groups)
    classes = first.class_probabilities, second.class_probabilities
    return macro_auc_difference(first.targets, *classes, first.table.groups)


def _agreement(first: Predictions, second: Predictions) -> Agreement:
    found = metrics.agreement(called(first), called(second))
    if first.contract.positive:
        return found
    lead = (p.class_probabilities.argmax(axis=1) for p in (first, second))
    same = int(np.count_nonzero(np.equal(*lead)))
    return replace(found, share=wilson(same, len(first.targets)))


def _measured(
    opened: Bundle,
    predictions: Predictions,
    latency: timing.Latency,
    start: timing.ColdStart,
) -> Measured:
    return Measured(
        file=opened.path.name,
        sha256=opened.sha256,
        chosen_for=opened.contract.decision.chosen_for,
        not_assessable=predictions.not_assessable,
        figures=(
            figures_of(predictions) if opened.contract.positive else top_figures_of(predictions)
        ),
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


def _setting(full: Predictions, small: Predictions, plan: Plan) -> Setting:
    return Setting(
        data=str(full.table.source),
        split=plan.split,
        licence=full.table.licences,
        made_up=made_up(full, small),
        notice=full.contract.notice,
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        device=this_device(),
    )


def _check_same_classes(full: Bundle, small: Bundle) -> None:
    if full.contract.labels != small.contract.labels:
        raise InputError(
            f"expected two bundles with the same classes: {full.path} has {_classes(full)}, "
            f"{small.path} has {_classes(small)}"
        )


def _classes(opened: Bundle) -> str:
    labels = opened.contract.labels
    return ", ".join(f"{x.name} (positive)" if x.positive else x.name for x in labels)
