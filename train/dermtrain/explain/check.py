"""The deletion check of a run: its maps against random order, on photographs of its own test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermedge import atomic, image
from dermedge.contract import Contract
from dermedge.decide import probabilities
from dermedge.intervals import Interval
from dermedge.prepare import prepare
from dermedge.progress import Progress, silent
from dermedge.table import Row, Table
from dermtrain.explain import deletion
from dermtrain.explain.deletion import GRID, RANDOM, STEPS, Curves
from dermtrain.explain.maps import class_maps, evidence_map, grad_cam
from dermtrain.explain.subject import target_of

MAP, GRADIENT, CENTRE, CHANCE = "class-activation map", "Grad-CAM", "centre first", "random"
ORDERS = (MAP, GRADIENT, CENTRE, CHANCE)


@dataclass(frozen=True, slots=True)
class Check:
    """What the deletion check found.

    Attributes:
        found: Curves of each photograph.
        layer: Where Grad-CAM was taken.
    """

    found: tuple[Curves, ...]
    layer: str

    def mean(self, name: str) -> npt.NDArray[np.float64]:
        """Mean curve of one order, float64 (STEPS + 1,)."""
        return np.mean([c.probability[name].mean(axis=0) for c in self.found], axis=0)

    def area(self, name: str) -> float:
        """Mean area under the curves of one order."""
        return float(np.mean([c.area(name) for c in self.found]))

    def against(self, name: str, reference: str) -> Interval:
        """Mean difference of the areas, `name` minus `reference`; see `deletion.difference`."""
        return deletion.difference(self.found, name, reference)


def run(
    model: keras.Model,
    terms: Contract,
    table: Table,
    layer: str,
    count: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Check:
    """Delete photographs in the order of their maps, from the centre, and at random.

    Args:
        model: The full model.
        terms: Its contract.
        table: The run's test split.
        layer: Where Grad-CAM is taken.
        count: Photographs to take; see `sample`.
        seed: Of the sample, the random orders and the ties.
        progress: Told of the photographs done.

    Raises:
        ImageError: A photograph can't be read.
    """
    generator = np.random.default_rng(seed)
    rows = sample(table.rows, [terms.labels[i].name for i in terms.positive], count, generator)
    infer = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def of(row: Row) -> Curves:
        batch = prepare(image.read(table.path(row)), terms.input)
        maps = class_maps(model, batch)
        target = target_of(terms, maps.mean(axis=(0, 1)))

        def score(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            logits = infer(tf.constant(pixels)).numpy()
            return probabilities(logits, terms.calibration.temperature)[:, list(target)].sum(axis=1)

        ranks = [
            deletion.ranks(evidence_map(maps, target), generator),
            deletion.ranks(grad_cam(model, layer, batch, target), generator),
            deletion.centre_ranks(generator),
            *(deletion.random_ranks(generator) for _ in range(RANDOM)),
        ]
        values = deletion.curves(score, batch[0], ranks)
        parts = np.split(values, [1, 2, 3])
        return Curves(row.image, row.label, dict(zip(ORDERS, parts, strict=True)))

    found = []
    for number, row in enumerate(rows, 1):
        found.append(of(row))
        progress("deletion check", number, len(rows))
    return Check(tuple(found), layer)


def sample(
    rows: Sequence[Row], positive: Sequence[str], count: int, generator: np.random.Generator
) -> list[Row]:
    """Photographs drawn at random, half of them positive as far as there are so many.

    The same seed gives the same photographs, in the table's order.
    """
    order = generator.permutation(len(rows))
    inside = [i for i in order if rows[i].label in positive]
    outside = [i for i in order if rows[i].label not in positive]
    half = max(min(len(inside), count // 2), count - len(outside))
    return [rows[i] for i in sorted(inside[:half] + outside[: count - half])]


def save(found: Check, path: Path, settings: str) -> None:
    """Keep a check beside its run: a few kilobytes for each photograph."""
    curves = [
        {**asdict(c), "probability": {name: c.probability[name].tolist() for name in ORDERS}}
        for c in found.found
    ]
    text = json.dumps({"settings": settings, "layer": found.layer, "curves": curves})
    atomic.write_text(path, text + "\n")


def load(path: Path, settings: str) -> Check | None:
    """A check that was kept, unless it is absent, broken or was made with other settings."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["settings"] != settings:
            return None
        found = tuple(
            Curves(c["image"], c["label"], {n: np.array(c["probability"][n]) for n in ORDERS})
            for c in values["curves"]
        )
        return Check(found, values["layer"])
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return None


def settings(layer: str, count: int, seed: int = 0) -> str:
    """What a check depends on besides the run: changes when it has to be made anew."""
    return f"1 {layer} {count} {seed} {GRID} {STEPS} {RANDOM}"
