"""How far each layer of an int8 file is from the same layer of its float file."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermcompress import flatbuffer
from dermedge.errors import InputError
from dermedge.model import cores

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerError:
    """What int8 makes of one layer's output, the errors of the layers before it included.

    Errors are handed on: of several bad layers, the first in the net is the one to look at.

    With x the float output and y the int8 one, over all values of all photographs:
    snr_db = 10 log10(sum x^2 / sum (x - y)^2), infinite where they are equal;
    cosine = sum xy / sqrt(sum x^2 sum y^2), 0 where only one of them is 0 throughout;
    added = sum (z - y)^2 / sum x^2, z being what the float layer gives for the int8 file's input:
    the noise that is the layer's own. Where it is largest, the layer is the one to keep in float.
    """

    layer: str
    snr_db: float
    cosine: float
    added: float


def layer_errors(
    float_model: bytes, int8_model: bytes, pixels: npt.NDArray[np.uint8]
) -> tuple[LayerError, ...]:
    """Run both files on the same photographs and compare layer by layer.

    A layer is a convolution or a fully connected one, after its activation; it is known by its
    Keras name. Layers that only one of the files has are left out.

    Args:
        float_model: A float .tflite file.
        int8_model: The int8 file of the same net, by training or by calibration.
        pixels: uint8 (n, side, side, 3), RGB.

    Returns:
        One entry a layer, the lowest signal-to-noise ratio first.

    Raises:
        InputError: No .tflite files, or not of the same net; no photographs, or of another size.
    """
    exact, small, alone = _Probe(float_model), _Probe(int8_model), _Alone(float_model)
    shared = [layer for layer in exact.layers if layer in small.layers]
    _expect_comparable(exact, small, shared, pixels)
    sums, own = {layer: np.zeros(4) for layer in shared}, dict.fromkeys(shared, 0.0)
    for photograph in pixels:
        found, other = exact.run(photograph), small.run(photograph)
        undisturbed = alone.run({layer: other[layer][0] for layer in shared})
        for layer in shared:
            given = other[layer][1]
            sums[layer] += _sums(found[layer][1], given)
            own[layer] += float(((undisturbed[layer] - given) ** 2).sum())
    errors = (_error(layer, own[layer], *total) for layer, total in sums.items())
    return tuple(sorted(errors, key=lambda error: error.snr_db))


class _Probe:
    """One file in an interpreter that keeps the output of every layer.

    Attributes:
        layers: Indices of the tensors that each layer takes and gives, by the layer's name.
    """

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        model = flatbuffer.read(data)
        try:
            self._interpreter = Interpreter(
                model_content=data,
                num_threads=cores(),
                # The delegate warns of kept tensors; its int8 differs from this by a step.
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"a .tflite file to compare can't run: {error}") from error
        self.layers = {
            layer: (int(operator.inputs[0]), int(operator.outputs[0]))
            for layer, operator in flatbuffer.layers(model).items()
        }
        self._input = self._interpreter.get_input_details()[0]
        self._tensors = {d["index"]: d for d in self._interpreter.get_tensor_details()}

    @property
    def takes(self) -> tuple[int, ...]:
        """Shape of the photograph that the file takes."""
        return tuple(int(n) for n in self._input["shape"][1:])

    def shapes(self, layer: str) -> list[tuple[int, ...]]:
        """Shapes of what a layer takes and gives."""
        return [tuple(int(n) for n in self._tensors[i]["shape"]) for i in self.layers[layer]]

    def run(self, photograph: npt.NDArray[np.uint8]) -> Mapping[str, list[_Array]]:
        """What all layers take and give for one photograph, in real numbers."""
        self._interpreter.set_tensor(self._input["index"], _quantize(photograph, self._input))
        self._interpreter.invoke()
        return {layer: [self._values(i) for i in pair] for layer, pair in self.layers.items()}

    def _values(self, index: int) -> _Array:
        values = self._interpreter.get_tensor(index).astype(np.float64)
        scale, zero_point = self._tensors[index]["quantization"]
        return (values - zero_point) * scale if scale else values


class _Alone:
    """The layers of a float file, each by itself, on any input."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        model = flatbuffer.read(data)
        graph = model.subgraphs[0]
        known, graph.inputs, graph.outputs = flatbuffer.layers(model), [], []
        for operator in known.values():
            # One layer's output may be the next one's input: each gets an input of its own.
            graph.tensors.append(copy(graph.tensors[operator.inputs[0]]))
            operator.inputs = [len(graph.tensors) - 1, *operator.inputs[1:]]
            graph.inputs.append(operator.inputs[0])
            graph.outputs.append(operator.outputs[0])
        graph.operators, model.signatureDefs = list(known.values()), None
        self._interpreter = Interpreter(model_content=flatbuffer.write(model), num_threads=cores())
        self._interpreter.allocate_tensors()
        self._pairs = {layer: (one.inputs[0], one.outputs[0]) for layer, one in known.items()}

    def run(self, taken: Mapping[str, _Array]) -> dict[str, _Array]:
        """What each layer gives for an input of its own."""
        for layer, values in taken.items():
            self._interpreter.set_tensor(self._pairs[layer][0], values.astype(np.float32))
        self._interpreter.invoke()
        return {layer: self._interpreter.get_tensor(self._pairs[layer][1]) for layer in taken}


def _expect_comparable(
    exact: _Probe, small: _Probe, shared: list[str], pixels: npt.NDArray[np.uint8]
) -> None:
    if not shared:
        raise InputError(
            "the float and the int8 file have no layer of the same name; compare files of one net"
        )
    for layer in shared:
        if exact.shapes(layer) != small.shapes(layer):
            raise InputError(
                f"the layer {layer} takes and gives {exact.shapes(layer)} in the float file and "
                f"{small.shapes(layer)} in the int8 file; compare files of one net"
            )
    if not len(pixels) or pixels.shape[1:] != exact.takes or exact.takes != small.takes:
        raise InputError(
            f"expected photographs of {exact.takes} (float) and {small.takes} (int8), found "
            f"{pixels.shape}; prepare them as the contract says"
        )


def _quantize(photograph: npt.NDArray[np.uint8], tensor: Any) -> npt.NDArray[Any]:
    """One photograph as a batch, in the input tensor's own type, scale and zero point."""
    dtype, (scale, zero_point) = tensor["dtype"], tensor["quantization"]
    batch = photograph[np.newaxis].astype(np.float32)
    if not scale:
        return batch
    limits = np.iinfo(dtype)
    return np.clip(np.rint(batch / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _sums(x: _Array, y: _Array) -> _Array:
    """Sums of x^2, y^2, xy and (x - y)^2."""
    return np.array([(x * x).sum(), (y * y).sum(), (x * y).sum(), ((x - y) ** 2).sum()])


def _error(layer: str, own: float, xx: float, yy: float, xy: float, noise: float) -> LayerError:
    added = float(own / xx) if xx else 0.0
    if noise == 0:
        return LayerError(layer, float("inf"), 1.0, added)
    snr_db = 10 * np.log10(xx / noise) if xx else -np.inf
    cosine = xy / np.sqrt(xx * yy) if xx and yy else 0.0
    return LayerError(layer, float(snr_db), float(cosine), added)
