"""The photograph that is explained: read, prepared and judged as everywhere in the kit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge import image, quality
from dermedge.contract import Contract
from dermedge.decide import Judgement, judge, probabilities
from dermedge.image import RGB
from dermedge.prepare import express, view
from dermtrain.explain.maps import Map, class_maps


@dataclass(frozen=True, slots=True)
class Subject:
    """One photograph and what the model says of it.

    Attributes:
        name: File name.
        shown: As the model sees it, uint8 (height, width, 3), RGB.
        batch: The model's input, (1, height, width, 3).
        maps: Class-activation maps, float32 (height, width, classes).
        probabilities: Calibrated, float64 (classes,).
        judgement: The decision and the probability that is reported.
        quality: May it be judged.
        target: Numbers of the classes that the maps speak for.
    """

    name: str
    shown: RGB
    batch: npt.NDArray
    maps: Map
    probabilities: npt.NDArray[np.float64]
    judgement: Judgement
    quality: quality.Quality
    target: tuple[int, ...]

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """The model's scores: the means of its class-activation maps, float32 (classes,)."""
        return self.maps.mean(axis=(0, 1))


def judged(model: keras.Model, terms: Contract, path: Path) -> Subject:
    """Read, prepare and judge one photograph.

    Raises:
        ImageError: It can't be read.
    """
    photograph = image.read(path)
    sight = view(photograph, terms.input)
    seen = quality.judge(photograph, sight, terms.quality)
    batch = express(sight.pixels, terms.input)
    maps = class_maps(model, batch)
    logits = maps.mean(axis=(0, 1))
    each = probabilities(logits, terms.calibration.temperature)
    return Subject(
        name=path.name,
        shown=sight.pixels,
        batch=batch,
        maps=maps,
        probabilities=each,
        judgement=judge(each, terms, seen.ok),
        quality=seen,
        target=target_of(terms, logits),
    )


def target_of(terms: Contract, logits: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The classes that a map speaks for: the positive ones, or without any the top one."""
    return terms.positive or (int(np.argmax(logits)),)


def target_name(terms: Contract, target: tuple[int, ...]) -> str:
    """The names of these classes: `malignant`, `melanoma or basal cell carcinoma`."""
    return " or ".join(terms.labels[i].name for i in target)
