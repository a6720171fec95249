"""Where the evidence lies: the class-activation map of the same pass, over the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dermedge import field
from dermedge.contract import Contract, Input
from dermedge.image import RGB
from dermedge.model import Outputs

Evidence = npt.NDArray[np.float32]

# Log-odds of full colour, the same for every photograph: on real ones the strongest place has about
# as much. Scaled to its own strongest place, a picture of nothing would look as grave as any.
SCALE = 8.0
FOR, AGAINST = (255, 196, 0), (0, 84, 214)  # RGB; told apart with every kind of colour vision

_OPACITY = 0.7  # of full colour: the lesion stays visible
_MIDDLE = 128  # of 256 levels: no evidence


def evidence(outputs: Outputs, terms: Contract) -> Evidence | None:
    """What speaks for (+) and against (-) the positive classes, place by place.

    The class-activation maps (Zhou et al. 2016), put together by how much the log-odds of the
    positive classes gain with each class's logit: the softmax among the positive classes, less that
    among the others, as in training (dermtrain.explain.maps.evidence_map). Of two classes the mean
    is the log-odds exactly, before calibration; of more it is their linear part at this photograph.
    A model without positive classes: for and against its top class.

    Returns:
        float32 (rows, columns), log-odds, over the whole input of the model; None if the model
        gives no map.
    """
    if outputs.map is None:
        return None
    logits = outputs.map.mean(axis=(0, 1), dtype=np.float64)
    return (outputs.map @ _weights(logits, _targets(outputs, terms))).astype(np.float32)


def target(outputs: Outputs, terms: Contract) -> str:
    """What `evidence` speaks for, in words: the positive classes, or without any the top one."""
    return " or ".join(terms.labels[i].name for i in _targets(outputs, terms))


def overlay(picture: RGB, found: Evidence, spec: Input) -> RGB:
    """Lay evidence over the photograph, in the places that it comes from.

    Yellow speaks for, blue against; between them, without evidence, the photograph is grey, as skin
    may well be yellow or blue itself. Where the model doesn't look (`crop`) it keeps its colours.
    The cost grows with the picture: hand in the size that will be shown.

    Args:
        picture: uint8 (height, width, 3), RGB: what was judged, at any size.
        found: See `evidence`.
        spec: The contract's input section: says where the model looks.

    Returns:
        A new image of the picture's shape.
    """
    height, width = picture.shape[:2]
    seen = field.of(height, width, spec)
    rows, columns = seen.within(height, width)
    down = _between(found.shape[0], rows, seen.top, seen.height)
    across = _between(found.shape[1], columns, seen.left, seen.width)
    steps = np.clip(found / SCALE, -1, 1) * (_MIDDLE - 1)
    levels = (down @ steps.astype(np.float32) @ across.T + (_MIDDLE + 0.5)).astype(np.uint8)
    drawn = picture.copy()
    drawn[rows, columns] = _tint(picture[rows, columns], levels)
    return drawn


def legend(width: int, height: int) -> RGB:
    """The colours of `overlay` on mid-grey, from full against, at the left, to full for."""
    ramp = np.linspace(-SCALE, SCALE, width, dtype=np.float32)[None]
    grey = np.full((height, width, 3), _MIDDLE, np.uint8)
    return overlay(grey, ramp, Input(height, width))


def _targets(outputs: Outputs, terms: Contract) -> tuple[int, ...]:
    return terms.positive or (int(np.argmax(outputs.scores)),)


def _weights(logits: npt.NDArray[np.float64], positive: Sequence[int]) -> npt.NDArray[np.float64]:
    """The gradient of logsumexp(positive logits) - logsumexp(the others), float64 (classes,)."""
    inside = np.isin(np.arange(len(logits)), list(positive))
    weights = np.empty(len(logits))
    for group, sign in ((inside, 1.0), (~inside, -1.0)):
        powers = np.exp(logits[group] - logits[group].max())
        weights[group] = sign * powers / powers.sum()
    return weights


def _between(places: int, pixels: slice, start: float, length: float) -> Evidence:
    """How much each place along one side counts at each of some pixels, float32 (pixels, places).

    Linear between the middles of the places, so that nothing is larger than it was.
    """
    at = (np.arange(pixels.start, pixels.stop) + 0.5 - start) * places / length - 0.5
    apart = np.abs(at.clip(0, places - 1)[:, None] - np.arange(places))
    return (1 - apart).clip(0).astype(np.float32)


def _tint(picture: RGB, levels: npt.NDArray[np.uint8]) -> RGB:
    """Grey, with a colour for each level; in whole numbers, since every frame may ask for it."""
    strength = np.arange(256) - _MIDDLE
    opacity = _OPACITY * np.abs(strength).clip(0, _MIDDLE - 1) / (_MIDDLE - 1)
    colours = np.where(strength[:, None] > 0, FOR, AGAINST) * opacity[:, None]
    kept = np.rint(255 * (1 - opacity)).astype(np.uint8)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    ground = cv2.multiply(grey, cv2.LUT(levels, kept), scale=1 / 255)
    tint = cv2.applyColorMap(levels, np.rint(colours).astype(np.uint8)[:, None])
    return cv2.add(tint, cv2.merge([ground] * 3))  # type: ignore[return-value]
