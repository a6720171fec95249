"""Golden vectors: prepared pictures and the scores that belong to them, to check a device with.

They travel in the bundle and are drawn, not photographed: nobody's picture leaves with a model.
"""

from __future__ import annotations

import base64
import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge import novelty
from dermedge.bundle import Bundle
from dermedge.contract import Contract
from dermedge.decide import probabilities
from dermedge.errors import BundleError
from dermedge.image import RGB
from dermedge.model import Classifier
from dermedge.prepare import prepare

FORMAT = 1
# Kernels differ between processors; one that is broken is off by far more than 8 / 256.
TOLERANCE = 8

_STEPS = 256  # in a probability
_DTYPES = ("uint8", "float32")
_MAX_VECTORS = 16
# Lesion and skin, RGB: one dark on pale, one reddish on brown, one pale on dark.
_COLOURS = (
    ((92, 58, 44), (228, 184, 162)),
    ((176, 74, 66), (168, 122, 92)),
    ((142, 112, 96), (84, 58, 46)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """What a sound device finds.

    Attributes:
        inputs: Each (1, height, width, 3), as `dermedge.prepare` returns it.
        logits: float32 (vectors, n): the scores of each.
        tolerance: How far a calibrated probability may be off, in steps of 1/256.
    """

    inputs: tuple[npt.NDArray[Any], ...]
    logits: npt.NDArray[np.float32]
    tolerance: int = TOLERANCE

    def to_json(self) -> str:
        """The text of `golden.json`, for `bundle.pack`."""
        vectors = [
            {
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "data": base64.b64encode(array.tobytes()).decode(),
                "logits": [float(score) for score in scores],
            }
            for array, scores in zip(self.inputs, self.logits, strict=True)
        ]
        return json.dumps({"format": FORMAT, "tolerance": self.tolerance, "vectors": vectors})


@dataclass(frozen=True, slots=True)
class Check:
    """How a model did on its golden vectors; `off` and `tolerance` in steps of 1/256."""

    vectors: int
    off: float
    tolerance: int


def patterns(height: int = 240, width: int = 320) -> tuple[RGB, ...]:
    """Draw three spots on skin, uint8 (height, width, 3), RGB; always the same."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    drawn = []
    for number, (lesion, skin) in enumerate(_COLOURS):
        reach = np.hypot(rows * (1 + 0.3 * number), columns) + 0.1 * np.sin(7 * columns + number)
        share = np.clip((0.6 - reach) / 0.2, 0, 1)[..., np.newaxis]
        picture = share * np.array(lesion) + (1 - share) * np.array(skin)
        drawn.append(np.rint(picture).astype(np.uint8))
    return tuple(drawn)


def take(classifier: Classifier, terms: Contract, pictures: Sequence[RGB] | None = None) -> Golden:
    """Ask a model that is known to be sound.

    Args:
        classifier: It.
        terms: Its contract.
        pictures: uint8 (height, width, 3), RGB; default: `patterns()`.
    """
    shown = patterns() if pictures is None else pictures
    inputs = tuple(prepare(picture, terms.input) for picture in shown)
    return Golden(inputs, np.stack([classifier.scores(array) for array in inputs]))


def off(golden: Golden, classifier: Classifier, terms: Contract) -> float:
    """The greatest difference in a calibrated probability, in steps of 1/256.

    Raises:
        BundleError: The model breaks down.
    """
    found = np.stack([classifier.scores(array) for array in golden.inputs])
    if found.shape != golden.logits.shape:
        raise BundleError(f"expected scores {golden.logits.shape}, the model gave {found.shape}")
    heat = terms.calibration.temperature
    apart = probabilities(found, heat) - probabilities(golden.logits, heat)
    return float(np.abs(apart).max()) * _STEPS


def check(bundle: Bundle, threads: int | None = None) -> Check:
    """Build a bundle's model on this device and let it judge its golden vectors.

    A bundle without them shows only that its model runs and gives numbers.

    Raises:
        BundleError: This device can't run the model, its scores are not those of its maker, or what
            came to tell the unlike does not fit it.
    """
    classifier = Classifier(bundle.model, bundle.contract, threads)
    if (watch := novelty.of(bundle)) is not None:
        spot = prepare(patterns()[0], bundle.contract.input)
        novelty.judge(watch, classifier.run(spot).embedding)
    if not bundle.golden:
        take(classifier, bundle.contract)
        return Check(0, 0.0, 0)
    golden = parse(bundle.golden, bundle.contract)
    found = Check(len(golden.inputs), off(golden, classifier, bundle.contract), golden.tolerance)
    if not found.off <= found.tolerance:  # no number fails as well
        raise BundleError(
            f"{bundle.path}: the model gives other scores here than where it was made: "
            f"{found.off:.1f} steps of 1/256 off, at most {found.tolerance} are allowed"
        )
    return found


def parse(text: str, terms: Contract) -> Golden:
    """Read `golden.json`.

    Raises:
        BundleError: Not JSON, an unknown format, or not for a model of this contract.
    """
    try:
        data = json.loads(text)
        if set(data) != {"format", "tolerance", "vectors"} or data["format"] != FORMAT:
            raise BundleError("golden.json is of an unknown format; update kit")
        return _golden(data["tolerance"], data["vectors"], terms)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BundleError(f"golden.json is not understood: {reprlib.repr(str(error))}") from error


def _golden(tolerance: Any, vectors: Any, terms: Contract) -> Golden:
    if type(tolerance) is not int or not 0 <= tolerance <= _STEPS:
        raise BundleError(f"golden.json: expected a tolerance from 0 to {_STEPS}")
    if not isinstance(vectors, list) or not 1 <= len(vectors) <= _MAX_VECTORS:
        raise BundleError(f"golden.json: expected 1 to {_MAX_VECTORS} vectors")
    inputs = tuple(_array(vector, terms) for vector in vectors)
    logits = np.array([_logits(vector, terms) for vector in vectors], np.float64)
    if not np.abs(logits).max() <= np.finfo(np.float32).max:  # no number fails as well
        raise BundleError("golden.json holds what is no number")
    return Golden(inputs, logits.astype(np.float32), tolerance)


def _array(vector: Any, terms: Contract) -> npt.NDArray[Any]:
    shape = (1, terms.input.height, terms.input.width, 3)
    dtype = vector["dtype"]
    if tuple(vector["shape"]) != shape or dtype not in _DTYPES:
        raise BundleError(f"golden.json: expected {shape} of {' or '.join(_DTYPES)}")
    data = base64.b64decode(vector["data"], validate=True)
    array = np.frombuffer(data, dtype).reshape(shape)
    if dtype == "float32" and not np.isfinite(array).all():
        raise BundleError("golden.json holds what is no number")
    return array


def _logits(vector: Any, terms: Contract) -> list[float]:
    found = [float(score) for score in vector["logits"]]
    if len(found) != len(terms.labels):
        raise BundleError(f"golden.json: expected {len(terms.labels)} scores")
    return found
