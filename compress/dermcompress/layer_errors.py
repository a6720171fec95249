"""How far each layer of an int8 file is from the same layer of its float file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermcompress import flatbuffer
from dermedge.errors import InputError
from dermedge.model import cores

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_WEIGHTS = 1  # the input of such an operator that holds its kernel
_WRAPPERS = ("quant_", "prune_low_magnitude_")  # what TFMOT puts before a layer's name

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerError:
    """What int8 makes of one layer's output, the errors of the layers before it included.

    Errors are handed on: of several bad layers, the first in the net is the one to look at.

    With x the float output and y the int8 one, over all values of all photographs:
    snr_db = 10 log10(sum x^2 / sum (x - y)^2), infinite where they are equal;
    cosine = sum xy / sqrt(sum x^2 sum y^2), 0 where only one of them is 0 throughout.
    """

    layer: str
    snr_db: float
    cosine: float


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
    exact, small = _Probe(float_model), _Probe(int8_model)
    shared = [layer for layer in exact.layers if layer in small.layers]
    _expect_comparable(exact, small, shared, pixels)
    sums = {layer: np.zeros(4) for layer in shared}
    for photograph in pixels:
        found, other = exact.run(photograph), small.run(photograph)
        for layer in shared:
            sums[layer] += _sums(found[layer], other[layer])
    errors = (_error(layer, *total) for layer, total in sums.items())
    return tuple(sorted(errors, key=lambda error: error.snr_db))


class _Probe:
    """One file in an interpreter that keeps the output of every layer.

    Attributes:
        layers: Index of each layer's output tensor, by the layer's name.
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
        self.layers = _layers(model)
        self._input = self._interpreter.get_input_details()[0]
        self._tensors = {d["index"]: d for d in self._interpreter.get_tensor_details()}

    @property
    def takes(self) -> tuple[int, ...]:
        """Shape of the photograph that the file takes."""
        return tuple(int(n) for n in self._input["shape"][1:])

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of a layer's output."""
        return tuple(int(n) for n in self._tensors[self.layers[layer]]["shape"])

    def run(self, photograph: npt.NDArray[np.uint8]) -> Mapping[str, _Array]:
        """Outputs of all layers for one photograph, in real numbers."""
        self._interpreter.set_tensor(self._input["index"], _quantize(photograph, self._input))
        self._interpreter.invoke()
        return {layer: self._output(index) for layer, index in self.layers.items()}

    def _output(self, index: int) -> _Array:
        values = self._interpreter.get_tensor(index).astype(np.float64)
        scale, zero_point = self._tensors[index]["quantization"]
        return (values - zero_point) * scale if scale else values


def _layers(model: Any) -> dict[str, int]:
    graph, seen, found = model.subgraphs[0], Counter[str](), {}
    for operator in graph.operators:
        if flatbuffer.operation_name(model.operatorCodes[operator.opcodeIndex]) in _LAYERS:
            name = _keras_name(graph.tensors[operator.inputs[_WEIGHTS]].name.decode())
            seen[name] += 1
            # A layer that the net uses twice has one kernel and two outputs.
            found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = int(operator.outputs[0])
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


def _expect_comparable(
    exact: _Probe, small: _Probe, shared: list[str], pixels: npt.NDArray[np.uint8]
) -> None:
    if not shared:
        raise InputError(
            "the float and the int8 file have no layer of the same name; compare files of one net"
        )
    for layer in shared:
        if exact.shape(layer) != small.shape(layer):
            raise InputError(
                f"the layer {layer} gives {exact.shape(layer)} in the float file and "
                f"{small.shape(layer)} in the int8 file; compare files of one net"
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


def _error(layer: str, xx: float, yy: float, xy: float, noise: float) -> LayerError:
    if noise == 0:
        return LayerError(layer, float("inf"), 1.0)
    snr_db = 10 * np.log10(xx / noise) if xx else -np.inf
    cosine = xy / np.sqrt(xx * yy) if xx and yy else 0.0
    return LayerError(layer, float(snr_db), float(cosine))
