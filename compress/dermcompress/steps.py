"""What each step of the line did to the model: size, work and agreement, measured on validation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from scipy.stats import spearmanr

from dermcompress import slimnet
from dermcompress.sparsify import zeros
from dermedge.decide import positive_probability, probabilities
from dermtrain.features import BATCH
from dermtrain.truth import Truth


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the line and the model that it left.

    Attributes:
        name: What was done.
        parameters: Weights and biases of the convolutions.
        macs: Multiply-accumulates for one photograph.
        zeros: Share of the kernel weights that are exactly 0.
        val_auc: AUC on validation; see `Truth.auc`.
        agreement: Rank correlation (Spearman) of its validation scores with the full model's; 0 if
            one of them gives every photograph the same score. A score is the probability of the
            positive classes; without any, each class's.
        seconds: How long the step took.
    """

    name: str
    parameters: int
    macs: int
    zeros: float
    val_auc: float
    agreement: float
    seconds: float

    def __str__(self) -> str:
        """One line for the terminal, under `HEADER`."""
        return (
            f"{self.name:<12} {self.parameters / 1e6:>9.2f} M {self.macs / 1e9:>8.2f} G "
            f"{self.zeros:>7.0%} {self.val_auc:>9.4f} {self.agreement:>10.3f} "
            f"{self.seconds:>7.0f} s"
        )


HEADER = (
    f"{'step':<12} {'parameters':>11} {'MACs':>10} {'zeros':>7} {'val AUC':>9} {'agreement':>10} "
    f"{'took':>9}"
)


@dataclass(frozen=True, slots=True)
class Judge:
    """Measures models on the validation photographs, against the full model's scores.

    Attributes:
        pixels: uint8 (rows, size, size, 3).
        truth: Of the same rows.
        full: float32 (rows, classes), the full model's logits.
    """

    pixels: npt.NDArray[np.uint8]
    truth: Truth
    full: npt.NDArray[np.float32]

    def step(
        self, name: str, net: keras.Model, logits: npt.NDArray[np.float32], seconds: float
    ) -> Step:
        """Measure one step: `net` gives the sizes, `logits` are its answers on validation."""
        own, full = (_scores(x, self.truth.positive) for x in (logits, self.full))
        return Step(
            name=name,
            parameters=sum(c.kernel.size + c.bias.size for c in slimnet.convs_of(net).values()),
            macs=slimnet.macs(net),
            zeros=zeros(net),
            val_auc=self.truth.auc(logits),
            agreement=_rank_correlation(own, full),
            seconds=round(seconds, 1),
        )


def _scores(logits: npt.NDArray, positive: tuple[int, ...]) -> npt.NDArray[np.float64]:
    if positive:
        return positive_probability(logits, 1.0, positive)
    return probabilities(logits, 1.0).ravel()


def _rank_correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else 0.0


def logits_of(model: keras.Model, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A net's logits, float32 (rows, classes): its only output, or the first of several."""
    run = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    parts = []
    for start in range(0, len(pixels), BATCH):
        outputs = run(tf.constant(pixels[start : start + BATCH].astype(np.float32)))
        parts.append((outputs[0] if isinstance(outputs, list | tuple) else outputs).numpy())
    return np.concatenate(parts)


def to_json(steps: Sequence[Step]) -> str:
    """The text of steps.json."""
    return json.dumps([dataclasses.asdict(step) for step in steps], indent=2) + "\n"


Listener = Callable[[Step], None]
