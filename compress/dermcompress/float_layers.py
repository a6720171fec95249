"""Layers that stay float inside an int8 net: which, and which of them hand int8 on."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress import flatbuffer
from dermcompress.graph import Node, nodes
from dermcompress.recipe import FIRST, LAST
from dermcompress.widths import positions
from dermedge.errors import InputError

_NORMALISE = "normalise"  # scales pixels; it has learnt nothing
_FLOAT32 = flatbuffer.schema.TensorType.FLOAT32
_NAMED = 3  # layers that an error names


def resolve(net: keras.Model, keep: Collection[str]) -> frozenset[str]:
    """Names of the layers to keep.

    Args:
        net: A folded net.
        keep: `first`: the first convolution that learns, with all before it, so that it reads the
            pixels themselves; `last`: the last one; or the name of a convolution or dense layer.

    Raises:
        InputError: No such layer; the nearest are named.
    """
    known = {node.name: node for node in nodes(net)}
    linear = [node.name for node in known.values() if positions(node)]
    found: set[str] = set()
    for name in keep:
        if name == FIRST:
            found |= _up_to(known, next(each for each in linear if each != _NORMALISE))
        elif name == LAST:
            found.add(linear[-1])
        elif name in linear:
            found.add(name)
        else:
            near = ", ".join(get_close_matches(name, linear, _NAMED, cutoff=0))
            raise InputError(
                f"no layer {name!r} to keep in float; the nearest: {near}; or {FIRST}, {LAST}"
            )
    return frozenset(found)


def restore(model: bytes, aware: keras.Model, kept: Collection[str]) -> bytes:
    """Put the float weights of kept layers back into an int8 file.

    The converter takes a float layer between int8 ones for one that it may quantize.

    Args:
        model: The file, converted from `aware`.
        aware: The quantization-aware net.
        kept: Names from `resolve`.
    """
    found = flatbuffer.read(model)
    graph = found.subgraphs[0]
    for name, operator in flatbuffer.layers(found).items():
        kernel = graph.tensors[operator.inputs[flatbuffer.KERNEL]]
        if name in kept and kernel.type != _FLOAT32:
            layer = aware.get_layer(f"quant_{name}").layer
            _in_float(found, operator, layer)
    return flatbuffer.write(found)


def _in_float(model: Any, operator: Any, layer: Any) -> None:
    """Make an int8 operator one that dequantizes, computes in float, and quantizes again."""
    graph = model.subgraphs[0]
    names = [flatbuffer.operation_name(code) for code in model.operatorCodes]
    taken, given = operator.inputs[0], operator.outputs[0]
    kernel, *bias = layer.get_weights()
    values = _laid_out(layer, kernel), bias[0] if bias else np.zeros(kernel.shape[-1])
    held = [graph.tensors[i] for i in operator.inputs[flatbuffer.KERNEL :]]
    weights = [_tensor(model, like, own) for like, own in zip(held, values, strict=True)]
    inner, outer = (_tensor(model, graph.tensors[i]) for i in (taken, given))
    place = graph.operators.index(operator)
    before, after = flatbuffer.schema.OperatorT(), flatbuffer.schema.OperatorT()
    before.opcodeIndex, before.inputs, before.outputs = names.index("DEQUANTIZE"), [taken], [inner]
    after.opcodeIndex, after.inputs, after.outputs = names.index("QUANTIZE"), [outer], [given]
    operator.inputs, operator.outputs = [inner, *weights], [outer]
    graph.operators[place : place + 1] = [before, operator, after]


def _tensor(model: Any, like: Any, values: npt.NDArray[Any] | None = None) -> int:
    """Add a float tensor of another's shape and name; its number."""
    tensor, graph = copy(like), model.subgraphs[0]
    tensor.name, tensor.type, tensor.quantization = like.name + b"_float", _FLOAT32, None
    tensor.buffer = 0  # as the schema has it: no data
    if values is not None:
        buffer = flatbuffer.schema.BufferT()
        buffer.data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _laid_out(layer: Any, kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A Keras kernel with its axes in the order of a .tflite file."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernel.reshape(1, *kernel.shape[:2], -1)
    return np.moveaxis(kernel, -1, 0)


def _up_to(known: dict[str, Node], name: str) -> set[str]:
    """A layer and all before it, but for the input."""
    sources = known[name].sources
    before = (_up_to(known, source) for source in sources)
    return {name}.union(*before) if sources else set()


def read_as_float(net: keras.Model, kept: Collection[str], float_kinds: tuple) -> frozenset[str]:
    """Of the kept layers those that no int8 layer reads: their outputs stay float too.

    Args:
        net: The net, or the same with further outputs.
        kept: Names from `resolve`.
        float_kinds: Kinds of layers that are float anyway.
    """
    read_in_int8 = {
        source
        for node in nodes(net)
        if node.name not in kept and not isinstance(node.layer, float_kinds)
        for source in node.sources
    }
    return frozenset(kept) - read_in_int8
