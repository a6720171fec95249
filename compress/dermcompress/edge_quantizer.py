"""int8 after training by ai-edge-quantizer, Google's tool for .tflite files: a second opinion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from dermcompress import flatbuffer
from dermedge.errors import MissingError
from dermedge.model import cores
from dermedge.quiet import quiet

LACKING = (
    "a second opinion on int8 needs ai-edge-quantizer; run: pip install 'dermkit[second-opinion]'"
)
_BLACK, _WHITE = 0.0, 255.0
_LAST_OLD_CODE = 127  # PLACEHOLDER_FOR_GREATER_OP_CODES in the published schema


def installed() -> bool:
    """Whether the package is there."""
    return find_spec("ai_edge_quantizer") is not None


def to_int8(
    float_model: bytes,
    pixels: npt.NDArray[np.uint8],
    known: Mapping[str, tuple[float, float]] | None = None,
) -> bytes:
    """Quantize a float .tflite file of `convert.to_float`: weights by channel, activations.

    As in `convert.to_int8` the averages stay in float, and a step of the input is one grey level.
    But for those that are known, the ranges are the tool's own: moving averages over the
    photographs of each one's extremes.

    Args:
        float_model: Pixels -> scores, and perhaps map and embedding, by one signature.
        pixels: uint8 (photographs, side, side, 3) to take the ranges from.
        known: Ranges that need no photographs, by layer, see `ranges.pixel_ranges`.

    Returns:
        The same, uint8 pixels in, float32 out; the same inputs give the same bytes.

    Raises:
        MissingError: ai-edge-quantizer is not installed.
    """
    if not installed():
        raise MissingError(LACKING)
    from ai_edge_quantizer import quantizer

    model = flatbuffer.read(float_model)
    graph = model.subgraphs[0]
    written = {name: operator.outputs[0] for name, operator in flatbuffer.layers(model).items()}
    ranges = {graph.inputs[0]: (_BLACK, _WHITE)}
    ranges |= {written[name]: ends for name, ends in (known or {}).items()}
    with quiet():  # of its progress bar, and of the interpreter's warning of kept tensors
        tool = quantizer.Quantizer(bytearray(float_model), _recipe(graph))
        found = tool.calibrate(_feed(float_model, pixels), num_threads=cores())
        for number, ends in ranges.items():
            low, high = (np.full((1, 1, 1, 1), end, np.float32) for end in ends)
            found[graph.tensors[number].name.decode()] = {"min": low, "max": high}
        made = tool.quantize(found, enable_progress_report=False).quantized_model
    return _taking_bytes(bytes(made))


class _Photographs:
    """Calibration data that is read twice: first counted, then run; float one at a time."""

    def __init__(self, name: str, pixels: npt.NDArray[np.uint8]) -> None:
        self._name, self._pixels = name, pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def __iter__(self) -> Any:
        return ({self._name: one[None].astype(np.float32)} for one in self._pixels)


def _feed(model: bytes, pixels: npt.NDArray[np.uint8]) -> dict[str, _Photographs]:
    (signature,) = flatbuffer.read(model).signatureDefs
    (name,) = (each.name.decode() for each in signature.inputs)
    return {signature.signatureKey.decode(): _Photographs(name, pixels)}


def _recipe(graph: Any) -> list[dict[str, Any]]:
    """Everything static int8, but for the averages and what the file takes and gives."""
    from ai_edge_quantizer import qtyping, recipe, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(recipe.static_wi8_ai8())
    given = "|".join(re.escape(graph.tensors[i].name.decode()) for i in graph.outputs)
    kinds = qtyping.TFLOperationName
    for scope, kind in (
        (".*", kinds.INPUT),
        (".*", kinds.OUTPUT),
        (".*", kinds.SUM),  # see `convert`: a mean there is a sum, and a factor
        (f"^({given});$", kinds.MUL),
    ):
        rules.add_quantization_config(scope, kind, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return rules.get_quantization_recipe()


def _taking_bytes(model: bytes) -> bytes:
    """Let a file take uint8: the operation that made int8 of float pixels does it as well."""
    found = flatbuffer.read(model)
    for code in found.operatorCodes:
        # The tool leaves the older field at 0, which is ADD: OpenVINO reads that one.
        code.deprecatedBuiltinCode = min(code.builtinCode, _LAST_OLD_CODE)
    graph = found.subgraphs[0]
    (taken,) = (graph.tensors[i] for i in graph.inputs)
    taken.type = flatbuffer.schema.TensorType.UINT8
    taken.quantization = flatbuffer.schema.QuantizationParametersT()
    taken.quantization.scale = np.ones(1, np.float32)
    taken.quantization.zeroPoint = np.zeros(1, np.int64)
    return flatbuffer.write(found)
