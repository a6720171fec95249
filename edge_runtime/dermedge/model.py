"""Classifier: holds one interpreter; the only module that names LiteRT or tflite-runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.contract import EMBEDDING, LOGITS, MAP, Contract
from dermedge.errors import BundleError, KitError, MissingError
from dermedge.quiet import quiet

# Module that offers `Interpreter`, and the distribution that brings it; the first found is used.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What one pass of a model gives.

    Attributes:
        scores: float32 (n,): one logit for each class of the contract.
        map: float32 (rows, columns, n), the class activations whose mean is the scores; None if the
            model does not give them.
        embedding: float32 (d,), the pooled features that the head reads; None likewise.
    """

    scores: npt.NDArray[np.float32]
    map: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float32] | None = None


class Classifier:
    """One model in one interpreter, ready to run; not safe to share between threads.

    Attributes:
        runtime: Name and version of the runtime, e.g. "ai-edge-litert 2.3.0".
        threads: Number of threads that the interpreter may use.
    """

    def __init__(
        self,
        model: bytes,
        contract: Contract,
        threads: int | None = None,
        runtime: str | None = None,
    ) -> None:
        """Build the interpreter.

        Args:
            model: The bytes of a .tflite file with batch 1.
            contract: The contract that came with it.
            threads: Threads to use; default: all cores that this process may run on.
            runtime: One of `runtimes()`; default: the first of them.

        Raises:
            BundleError: Not a model of this contract, or the runtime lacks one of its operations.
            MissingError: No runtime is installed.
            KitError: `threads` is below 1.
        """
        self.threads = cores() if threads is None else threads
        if self.threads < 1:
            raise KitError(f"expected at least one thread, got {self.threads}")
        interpreter_class, self.runtime = _runtime(runtime)
        try:
            with quiet():  # XNNPACK says hello
                self._interpreter = interpreter_class(model_content=model, num_threads=self.threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{self.runtime} can't run {contract.model.file}: {error}") from error
        self._input = self._interpreter.get_input_details()[0]
        given = self._interpreter.get_output_details()
        if len(given) < len(contract.outputs):
            raise BundleError(
                f"model and contract disagree: expected {len(contract.outputs)} outputs, "
                f"found {len(given)}"
            )
        # By kind; of two of a kind the first counts, as the scores come first.
        self._outputs = {
            output.kind: tensor
            for output, tensor in reversed(list(zip(contract.outputs, given, strict=False)))
        }
        for tensor in (self._input, *self._outputs.values()):
            _expect_numbers(tensor)
        self._to_input = _converter(self._input)
        classes = len(contract.labels)
        _expect("input", self._input, (1, contract.input.height, contract.input.width, 3))
        _expect(LOGITS, self._outputs[LOGITS], (1, classes))
        if MAP in self._outputs:
            _expect(MAP, self._outputs[MAP], (1, None, None, classes))
        if EMBEDDING in self._outputs:
            _expect(EMBEDDING, self._outputs[EMBEDDING], (1, None))

    def scores(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the model once for its scores, float32 (n,); see `run`."""
        return self.run(prepared).scores

    def run(self, prepared: npt.NDArray[Any]) -> Outputs:
        """Run the model once.

        Args:
            prepared: (1, height, width, 3), as `dermedge.prepare` returns it.

        Raises:
            BundleError: The model is broken: what it gave is not a finite number.
        """
        self._interpreter.set_tensor(self._input["index"], self._to_input(prepared))
        self._interpreter.invoke()
        found = {kind: self._value(kind) for kind in self._outputs}
        return Outputs(found[LOGITS], found.get(MAP), found.get(EMBEDDING))

    def _value(self, kind: str) -> npt.NDArray[np.float32]:
        tensor = self._outputs[kind]
        raw = self._interpreter.get_tensor(tensor["index"])[0]
        if tensor["dtype"] is np.float32:
            if not np.isfinite(raw).all():
                raise BundleError(f"the model gave {kind} that are no numbers: {raw}")
            return raw
        scale, zero_point = tensor["quantization"]
        return (raw.astype(np.int64) - zero_point).astype(np.float32) * np.float32(scale)


def cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def runtimes() -> list[str]:
    """Distributions of the runtimes that are installed, the one that is used by default first."""
    return [name for module, name in RUNTIMES if find_spec(module.partition(".")[0])]


def _runtime(wanted: str | None) -> tuple[Callable[..., Any], str]:
    for module, distribution in RUNTIMES:
        if wanted not in (None, distribution):
            continue
        try:
            found = import_module(module)
        except ImportError:
            continue
        return found.Interpreter, f"{distribution} {metadata.version(distribution)}"
    if wanted:
        raise MissingError(f"{wanted} is not installed; run: pip install {wanted}")
    raise MissingError("no TFLite runtime is installed; run: pip install ai-edge-litert")


def _expect(kind: str, tensor: Any, shape: tuple[int | None, ...]) -> None:
    """Refuse a tensor of another shape; None stands for any length."""
    found = tuple(int(n) for n in tensor["shape"])
    if len(found) != len(shape) or any(
        w not in (None, n) for n, w in zip(found, shape, strict=True)
    ):
        wanted = str(shape).replace("None", "any")
        raise BundleError(f"model and contract disagree: expected {kind} {wanted}, found {found}")


def _expect_numbers(tensor: Any) -> None:
    if tensor["dtype"] is not np.float32 and not tensor["quantization"][0]:
        raise BundleError(
            f"expected the tensor {tensor['name']} to be float32 or quantised, found "
            f"{tensor['dtype'].__name__} without a scale"
        )


def _converter(tensor: Any) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Express a prepared array in the input tensor's own type, scale and zero point."""
    dtype, (scale, zero_point) = tensor["dtype"], tensor["quantization"]
    if dtype is np.float32:
        return lambda prepared: prepared.astype(np.float32, copy=False)
    limits = np.iinfo(dtype)
    takes_pixels = dtype is np.uint8 and (scale, zero_point) == (1.0, 0)

    def quantize(prepared: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if takes_pixels and prepared.dtype == np.uint8:
            return prepared
        steps = np.rint(prepared.astype(np.float32) / np.float32(scale)) + zero_point
        return np.clip(steps, limits.min, limits.max).astype(dtype)

    return quantize
