"""After channels have left, their readers are solved anew so that they give what the full net gave.

He, Zhang, Sun 2017 and ThiNet (Luo et al. 2017), for any graph: layer by layer in topological
order, each one on the slim net's own inputs, so that it also mends what those before it missed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress.flow import Flow, Maps
from dermcompress.graph import Mask, Node, mixes, nodes
from dermcompress.least_squares import solve
from dermedge.progress import Progress, silent

layers = keras.layers
_POSITIONS = 48  # sampled in each photograph's map: neighbours tell the solver little new

Samples = npt.NDArray[np.float32]  # (photographs * positions, channels)


def reconstruct(
    full: keras.Model,
    slim: keras.Model,
    stays: Mapping[str, Mask],
    pixels: npt.NDArray[np.uint8],
    seed: int,
    progress: Progress = silent,
) -> None:
    """Solve the slim net's convolutions and dense layers, in place.

    Args:
        full: The net as it was; for inputs of the same size.
        slim: The same with channels left out, see `rebuild.cut`.
        stays: Layer name -> which of the full output's channels are left, bool (channels,).
        pixels: uint8 (photographs, side, side, 3): what the solver looks at.
        seed: Of the sampled positions.
        progress: Told of the layers done.
    """
    before, after = Flow(full, pixels), Flow(slim, pixels)
    order = nodes(slim)
    last = _last_readers(order)
    changed: set[str] = set()  # layers whose output is not just the full net's, cut
    for done, node in enumerate(order):
        inherits = any(name in changed or not stays[name].all() for name in node.sources)
        if inherits:
            changed.add(node.name)
            if _solvable(node.layer):
                random = np.random.default_rng([seed, done])
                _solve(node, before, after, stays[node.name], random)
        spent = [name for name, reader in last.items() if reader == done]
        for flow in (before, after):
            flow.of(node.name)
            flow.drop(spent)
        progress("reconstructing", done + 1, len(order))


def _last_readers(order: list[Node]) -> dict[str, int]:
    """After which node an output is needed no more."""
    last = {node.name: len(order) for node in order}
    for number, node in enumerate(order):
        for source in node.sources:
            last[source] = number
    return last


def _solvable(layer: Any) -> bool:
    return mixes(layer) and layer.use_bias and layer.trainable


def _solve(node: Node, before: Flow, after: Flow, stays: Mask, random: np.random.Generator) -> None:
    """Fit one layer's kernel and bias to what the full net gives there."""
    goal, given = _goal(node, before, after, stays)
    maps = after.of(node.sources[0])
    points = _points(goal.shape, random)
    inputs = _patches(maps, node.layer, points)
    wanted = _sample(goal, points) - (0 if given is None else _sample(given, points))
    kernel, bias = node.layer.get_weights()
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1), np.float32)], axis=1)
    start = np.concatenate([kernel.reshape(-1, len(bias)), bias[None]]).astype(np.float64)
    moments = (inputs.T @ inputs / len(inputs)).astype(np.float64)
    products = (inputs.T @ wanted / len(inputs)).astype(np.float64)
    solved = solve(moments, products, start).astype(np.float32)
    node.layer.set_weights([solved[:-1].reshape(kernel.shape), solved[-1]])


def _goal(node: Node, before: Flow, after: Flow, stays: Mask) -> tuple[Maps, Maps | None]:
    """What the layer should give: its own linear output in the full net.

    Where it is the last summand of an add, the goal is the full sum, less what the slim net's other
    summands give: so the residual stream does not drift.
    """
    readers = [other for other in after.nodes.values() if node.name in other.sources]
    plain = node.layer.activation == keras.activations.linear
    if plain and len(readers) == 1 and type(readers[0].layer) is layers.Add:
        others = [name for name in readers[0].sources if name != node.name]
        if others and all(after.known(name) for name in others):
            total = before.of(readers[0].name)[..., stays]
            return total, functools.reduce(np.add, (after.of(name) for name in others))
    return before.linear(node.name)[..., stays], None


def _points(shape: tuple[int, ...], random: np.random.Generator) -> tuple[npt.NDArray, ...]:
    """Sampled positions: index arrays (photograph[, row, column]) of one length."""
    photographs, *sides, _ = shape
    each = min(_POSITIONS, int(np.prod(sides)))
    photograph = np.repeat(np.arange(photographs), each)
    return photograph, *(random.integers(side, size=len(photograph)) for side in sides)


def _sample(maps: Maps, points: tuple[npt.NDArray, ...]) -> Samples:
    return maps[points].astype(np.float32)


def _patches(maps: Maps, layer: Any, points: tuple[npt.NDArray, ...]) -> Samples:
    """What the kernel sees at the points, flattened as (row, column, channel)."""
    if isinstance(layer, layers.Dense):
        return _sample(maps, points)
    photograph, row, column = points
    (high, wide), (down, right) = layer.kernel_size, layer.strides
    above, left = _padding(maps.shape[1:3], layer)
    rows, columns = row * down - above, column * right - left
    apart, aside = layer.dilation_rate
    taps = [
        _inside(maps, photograph, rows + i * apart, columns + j * aside)
        for i in range(high)
        for j in range(wide)
    ]
    return np.concatenate(taps, axis=1).astype(np.float32)


def _padding(sides: tuple[int, ...], layer: Any) -> tuple[int, int]:
    """Zeros above and left of a map; TensorFlow's `same` puts the odd one below and right."""
    if layer.padding == "valid":
        return 0, 0
    shape = zip(sides, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    whole = [
        max(0, (-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side)
        for side, kernel, stride, dilation in shape
    ]
    return whole[0] // 2, whole[1] // 2


def _inside(maps: Maps, photograph: npt.NDArray, row: npt.NDArray, column: npt.NDArray) -> Maps:
    """The maps at these places, zero outside of them."""
    height, width = maps.shape[1:3]
    there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = maps[photograph, row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.where(there[:, None], found, np.float16(0))
