"""Read and write a .tflite file as an object, with the schema that TensorFlow publishes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from dermedge.errors import InputError

IDENTIFIER = b"TFL3"
NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
KERNEL = 1  # the input of a layer's operator that holds its weights
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_WRAPPERS = ("quant_", "prune_low_magnitude_")  # what TFMOT puts before a layer's name
_CUSTOM = schema.BuiltinOperator.CUSTOM
_ALIGNMENT = 16  # of a buffer's bytes: `force_align` in the published schema
# What the generated classes are known to raise on altered bytes.
_NOT_WHOLE = (struct.error, TypeError, ValueError, IndexError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the graph: its name and its shape."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the file's operation table.

    Attributes:
        name: As the schema spells it ("CONV_2D"); the custom code where it is no builtin.
        version: What the runtime must know; a runtime refuses the file over an unused entry too.
        output: Output tensor of the first operator that uses it; empty if none does.
    """

    name: str
    version: int
    output: str


def read(data: bytes) -> Any:
    """Unpack a .tflite file.

    Files appended behind the flatbuffer (labels) are not part of the object; weights that lie there
    (ai-edge-quantizer puts them so, from 256 KiB on) are.

    Returns:
        The schema's `ModelT`; its arrays look into `data` and can't be written to.

    Raises:
        InputError: Not a .tflite file, cut off, or its parts don't fit together.
    """
    if data[4:8] != IDENTIFIER:
        raise InputError(
            f"expected a .tflite file ({IDENTIFIER.decode()} at byte 4), found {data[4:8]!r}; "
            "convert the model again"
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
        for buffer in model.buffers:
            _fetch(buffer, data)
        whole = _fits(model)
    except _NOT_WHOLE as error:
        raise InputError(f"the .tflite file is not whole ({error}); convert it again") from error
    if not whole:
        raise InputError("the .tflite file names parts that it does not hold; convert it again")
    return model


def write(model: Any) -> bytes:
    """Pack a `ModelT` into the bytes of a .tflite file; the same object gives the same bytes."""
    builder = _Builder()
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def operations(model: Any) -> tuple[Operation, ...]:
    """The operation table of a model from `read`, in its order."""
    used: dict[int, str] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if len(operator.outputs):
                name = graph.tensors[operator.outputs[0]].name.decode()
                used.setdefault(operator.opcodeIndex, name)
    return tuple(
        Operation(operation_name(code), code.version, used.get(i, ""))
        for i, code in enumerate(model.operatorCodes)
    )


def operation_name(code: Any) -> str:
    """Name of one `OperatorCodeT`: the schema's, or the custom code."""
    # Codes up to 126 may stand in the older, one-byte field alone.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == _CUSTOM and code.customCode:
        return code.customCode.decode()
    return NAMES.get(number, f"BUILTIN_{number}")


def layers(model: Any) -> dict[str, Any]:
    """The operator of each convolution or dense layer, by its Keras name, in their order."""
    graph, seen, found = model.subgraphs[0], Counter[str](), {}
    for operator in graph.operators:
        if operation_name(model.operatorCodes[operator.opcodeIndex]) in _LAYERS:
            name = _keras_name(graph.tensors[operator.inputs[KERNEL]].name.decode())
            seen[name] += 1
            # A layer that the net uses twice has one kernel and two outputs.
            found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = operator
    return found


def _keras_name(weights: str) -> str:
    """The layer that a kernel belongs to, by its tensor's name.

    The converter of TensorFlow 2.21 names a kernel "net/layer/Conv2D" in float and after
    calibration, "net/quant_layer/Conv2D;net/quant_layer/LastValueQuant/..." after training with
    TFMOT. An operator's output bears the layer's name too, but not where the file ends.
    """
    parts = weights.split(";")[0].split("/")
    name = parts[-2] if len(parts) > 1 else weights
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def outputs(model: Any) -> tuple[Tensor, ...]:
    """Outputs of a model from `read`, in the order in which a runtime lists them."""
    graph = model.subgraphs[0]
    found = (graph.tensors[i] for i in graph.outputs)
    return tuple(Tensor(t.name.decode(), tuple(int(n) for n in t.shape)) for t in found)


def order_outputs(data: bytes, names: Sequence[str]) -> bytes:
    """Put a file's outputs in order, scores first.

    The converter lists several outputs in an order of its own; only the signature says which is
    which.

    Args:
        data: A .tflite file with one signature.
        names: Names of all its outputs in that signature, in the order wanted.

    Raises:
        InputError: The file has no signature, or one with other outputs.
    """
    model = read(data)
    signatures = model.signatureDefs or []
    index = {o.name.decode(): o.tensorIndex for s in signatures[:1] for o in s.outputs}
    if sorted(index) != sorted(names):
        raise InputError(
            f"expected a signature with the outputs {sorted(names)}, found {sorted(index)}; "
            "convert a function that returns them by name"
        )
    model.subgraphs[0].outputs = [index[name] for name in names]
    return write(model)


class _Builder(flatbuffers.Builder):
    """A builder that aligns bytes as the schema asks and the generated Python code does not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        wanted = _ALIGNMENT if elemSize == 1 else alignment
        return super().StartVector(elemSize, numElems, wanted)


def _fetch(buffer: Any, data: bytes) -> None:
    """Take a buffer's data from behind the flatbuffer, if it lies there."""
    if buffer.offset > 1:  # 0 and 1 stand for none
        buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def _fits(model: Any) -> bool:
    """Whether every name is text and every index points at something."""
    for code in model.operatorCodes:
        operation_name(code).encode()
    for metadata in model.metadata or ():
        metadata.name.decode()
    buffers = range(len(model.buffers))
    return (
        len(model.subgraphs) > 0
        and all(_graph_fits(graph, len(model.operatorCodes)) for graph in model.subgraphs)
        and all(metadata.buffer in buffers for metadata in model.metadata or ())
    )


def _graph_fits(graph: Any, codes: int) -> bool:
    for tensor in graph.tensors:
        tensor.name.decode()
        tuple(tensor.shape)
    tensors = range(len(graph.tensors))
    return (
        all(i in tensors for i in graph.outputs)
        and all(i in tensors for i in graph.inputs)
        and all(operator.opcodeIndex < codes for operator in graph.operators)
        and all(i in tensors for operator in graph.operators for i in operator.outputs)
        # -1 stands for an input that is left out.
        and all(i in tensors or i == -1 for o in graph.operators for i in o.inputs)
    )
