"""A functional Keras net as a list of layers, and its channels: which can only leave together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermedge.errors import InputError

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

layers = keras.layers
_MIXES = (layers.Conv2D, layers.Dense)  # every output channel reads every input channel
_PASSES = (
    *(layers.BatchNormalization, layers.Activation, layers.ReLU, layers.LeakyReLU),
    *(layers.Dropout, layers.ZeroPadding2D, layers.Cropping2D, layers.UpSampling2D),
    *(layers.MaxPooling2D, layers.AveragePooling2D, layers.Rescaling),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D),
)
_JOINS = (
    *(layers.Add, layers.Multiply, layers.Subtract, layers.Average),
    *(layers.Maximum, layers.Minimum),
)


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of a net, and the names of the layers whose outputs it takes."""

    layer: Any
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the layer, and of its output."""
        return self.layer.name


@dataclass(frozen=True, slots=True)
class Space:
    """Channels that lie together wherever they lie, such as a residual stream.

    Attributes:
        name: The first layer that writes them; with a number, if it writes those of others too.
        ids: Their numbers in `Channels`, rising, int64 (channels,).
        carriers: Names of the layers whose outputs hold them.
    """

    name: str
    ids: Ids
    carriers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """Which channel each output of each layer is.

    Two outputs have one number if neither can leave without the other: an add couples its inputs, a
    depthwise convolution its input with its output.

    Attributes:
        nodes: The net, in topological order.
        of: Layer name -> numbers of its output's channels, int64 (channels,).
        fixed: Numbers that can't leave: the input's, the outputs', and what a layer that is not
            known here reads or writes.
        unknown: Names of those layers.
    """

    nodes: tuple[Node, ...]
    of: Mapping[str, Ids]
    fixed: frozenset[int]
    unknown: tuple[str, ...]

    def read_by(self, node: Node) -> Ids:
        """Numbers of the channels that a layer with one input reads."""
        return self.of[node.sources[0]]

    def spaces(self) -> list[Space]:
        """The channels that may leave, grouped; in the order in which the net writes them."""
        carriers: dict[int, list[str]] = {}
        for name, ids in self.of.items():
            for number in dict.fromkeys(ids.tolist()):
                carriers.setdefault(number, []).append(name)
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, names in carriers.items():
            if number not in self.fixed:
                groups.setdefault(tuple(names), []).append(number)
        found, parts = [], Counter[str]()
        for names, ids in groups.items():
            first = names[0]
            parts[first] += 1
            name = first if parts[first] == 1 else f"{first}, part {parts[first]}"
            found.append(Space(name, np.array(sorted(ids)), names))
        return found

    def masks(self, leaving: set[int]) -> dict[str, Mask]:
        """Layer name -> which of its output's channels stay, bool (channels,)."""
        gone = np.array(sorted(leaving), np.int64)
        return {name: ~np.isin(ids, gone) for name, ids in self.of.items()}


def nodes(model: keras.Model) -> list[Node]:
    """The layers of a functional net in topological order.

    Raises:
        InputError: A layer is used twice, or something else than a plain layer is in the way.
    """
    found = []
    for entry in model.get_config()["layers"]:
        name, calls = entry["name"], entry["inbound_nodes"]
        if len(calls) > 1:
            raise InputError(f"layer {name} is used {len(calls)} times: give each use its own")
        sources = calls[0] if calls else []
        if sources and not isinstance(sources[0], list):
            raise InputError(f"{name} is an operation, not a layer: wrap it in a keras layer")
        found.append(Node(model.get_layer(name), tuple(source[0] for source in sources)))
    return found


def retrace(
    model: keras.Model,
    make: Callable[[Node], keras.layers.Layer | None],
    size: int | None = None,
) -> keras.Model:
    """The same graph from other layers.

    Args:
        model: A functional net of one input.
        make: Gives the layer that takes a node's place; None leaves it out (its input goes on). The
            input's node is not asked about.
        size: Side of the new net's square input, pixels; default: as it was.
    """
    known = nodes(model)
    shape = model.input_shape[1:] if size is None else (size, size, model.input_shape[-1])
    tensors: dict[str, Any] = {known[0].name: keras.Input(shape, name=known[0].name)}
    start = tensors[known[0].name]
    for node in known[1:]:
        inputs = [tensors[name] for name in node.sources]
        layer = make(node)
        given = inputs if len(inputs) > 1 else inputs[0]
        tensors[node.name] = inputs[0] if layer is None else layer(given)
    outputs = [tensors[name] for name in model.output_names]
    return keras.Model(start, outputs if len(outputs) > 1 else outputs[0], name=model.name)


def channels(model: keras.Model) -> Channels:
    """Read the channels of a functional net.

    A layer that is not known here is gone around: what it reads and writes stays whole.
    """
    book = _Book()
    known = nodes(model)
    unknown = [node.name for node in known if not _write(book, node)]
    for name in model.output_names:
        book.fix(book.of[name])
    of, fixed = book.settled()
    inputs = {node.name for node in known if isinstance(node.layer, layers.InputLayer)}
    return Channels(tuple(known), of, fixed, tuple(n for n in unknown if n not in inputs))


class _Book:
    """Numbers of channels while they are found out; a union-find."""

    def __init__(self) -> None:
        self.of: dict[str, Ids] = {}
        self._parent: list[int] = []
        self._fixed: list[int] = []

    def new(self, count: int) -> Ids:
        start = len(self._parent)
        self._parent += range(start, start + count)
        return np.arange(start, start + count)

    def fix(self, ids: Ids) -> None:
        self._fixed += ids.tolist()

    def couple(self, one: Ids, other: Ids) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            first, second = sorted((self._root(a), self._root(b)))
            self._parent[second] = first

    def settled(self) -> tuple[dict[str, Ids], frozenset[int]]:
        of = {name: np.array([self._root(i) for i in ids]) for name, ids in self.of.items()}
        return of, frozenset(self._root(i) for i in self._fixed)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number


def _write(book: _Book, node: Node) -> bool:
    """Number a layer's output; False if the layer is not known."""
    layer, inputs = node.layer, [book.of[name] for name in node.sources]
    ids = _ids(book, layer, inputs)
    known = ids is not None
    if ids is None:
        for read in inputs:
            book.fix(read)
        ids = book.new(int(_shape(layer)[-1] or 0))
        book.fix(ids)
    book.of[node.name] = ids
    return known


def _ids(book: _Book, layer: Any, inputs: list[Ids]) -> Ids | None:
    if isinstance(layer, layers.DepthwiseConv2D):  # a Conv2D in Keras, but mixes nothing
        return inputs[0] if layer.depth_multiplier == 1 else None
    softmax = getattr(layer, "activation", None) is keras.activations.softmax
    if mixes(layer):
        ids = book.new(int(_shape(layer)[-1]))
        if softmax:  # each channel changes the others
            book.fix(ids)
        return ids
    if isinstance(layer, _PASSES) and not softmax:
        return inputs[0]
    if isinstance(layer, _JOINS) and len({len(ids) for ids in inputs}) == 1:
        for other in inputs[1:]:
            book.couple(inputs[0], other)
        return inputs[0]
    return _rearranged(layer, inputs)


def _rearranged(layer: Any, inputs: list[Ids]) -> Ids | None:
    """The channels behind a layer that puts them in another place."""
    shape = _shape(layer)
    if isinstance(layer, layers.Concatenate) and layer.axis in (-1, len(shape) - 1):
        return np.concatenate(inputs)
    if isinstance(layer, layers.Flatten):
        return np.tile(inputs[0], int(shape[-1]) // len(inputs[0]))
    if isinstance(layer, layers.Reshape) and shape[1:-1] == (1, 1):
        return inputs[0] if int(shape[-1]) == len(inputs[0]) else None
    return None


def mixes(layer: Any) -> bool:
    """Whether each of a layer's output channels reads every one of its input channels."""
    if isinstance(layer, layers.DepthwiseConv2D | layers.SeparableConv2D | layers.Conv2DTranspose):
        return False
    return isinstance(layer, _MIXES) and getattr(layer, "groups", 1) == 1


def _shape(layer: Any) -> tuple:
    shape = layer.output_shape
    return shape[0] if isinstance(shape, list) else shape
