"""Classifier: holds one interpreter; the only module that names LiteRT or tflite-runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.contract import Contract
from dermedge.errors import BundleError, KitError, MissingError
from dermedge.quiet import quiet

# Module that offers `Interpreter`, and the distribution that brings it; the first found is used.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)


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
        self._scores = self._interpreter.get_output_details()[0]
        for tensor in (self._input, self._scores):
            _expect_numbers(tensor)
        self._to_input = _converter(self._input)
        expected = (1, contract.input.height, contract.input.width, 3)
        self._expect("input", self._input, expected)
        self._expect("scores", self._scores, (1, len(contract.labels)))

    def scores(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the model once.

        Args:
            prepared: (1, height, width, 3), as `dermedge.prepare` returns it.

        Returns:
            float32 (n,): one logit for each class of the contract.

        Raises:
            BundleError: The model is broken: a score is not a finite number.
        """
        self._interpreter.set_tensor(self._input["index"], self._to_input(prepared))
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._scores["index"])[0]
        if self._scores["dtype"] is np.float32:
            if not np.isfinite(raw).all():
                raise BundleError(f"the model gave scores that are no numbers: {raw}")
            return raw
        scale, zero_point = self._scores["quantization"]
        return (raw.astype(np.int64) - zero_point).astype(np.float32) * np.float32(scale)

    def _expect(self, name: str, tensor: Any, shape: tuple[int, ...]) -> None:
        found = tuple(int(n) for n in tensor["shape"])
        if found != shape:
            raise BundleError(
                f"model and contract disagree: expected {name} {shape}, found {found}"
            )


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
