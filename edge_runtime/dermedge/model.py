"""Classifier: holds one model, built in one runtime, and speaks the contract's language."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge import engine
from dermedge.contract import EMBEDDING, LOGITS, MAP, Contract
from dermedge.errors import BundleError, KitError
from dermedge.quiet import quiet
from dermedge.tensor import Tensor


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
    """One model in one runtime, ready to run; not safe to share between threads.

    Attributes:
        runtime: Name and version of the runtime, e.g. "ai-edge-litert 2.3.0".
        threads: Number of threads that it may use.
    """

    def __init__(
        self,
        model: bytes,
        contract: Contract,
        threads: int | None = None,
        runtime: str | None = None,
    ) -> None:
        """Build the model.

        Args:
            model: The bytes of a .tflite file with batch 1.
            contract: The contract that came with it.
            threads: Threads to use; default: all cores that this process may run on.
            runtime: One of `runtimes()`; default: the first of them.

        Raises:
            BundleError: Not a model of this contract, or the runtime lacks one of its operations.
            MissingError: The runtime, or any, is not installed.
            KitError: `threads` is below 1.
        """
        self.threads = cores() if threads is None else threads
        if self.threads < 1:
            raise KitError(f"expected at least one thread, got {self.threads}")
        build, self.runtime = engine.find(runtime)
        try:
            with quiet():  # XNNPACK says hello
                self._engine = build(model, self.threads)
        except (ValueError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise BundleError(f"{self.runtime} can't run {contract.model.file}: {why}") from error
        given = self._engine.outputs
        if len(given) < len(contract.outputs):
            raise BundleError(
                f"model and contract disagree: expected {len(contract.outputs)} outputs, "
                f"found {len(given)}"
            )
        # By kind; of two of a kind the first counts, as the scores come first.
        self._places = {
            output.kind: place for place, output in reversed(list(enumerate(contract.outputs)))
        }
        _check(self._engine.input, {kind: given[i] for kind, i in self._places.items()}, contract)
        self._to_input = _converter(self._engine.input)

    def scores(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the model once for its scores, float32 (n,); see `run`."""
        return self.run(prepared).scores

    def run(self, prepared: npt.NDArray[Any]) -> Outputs:
        """Run the model once.

        Args:
            prepared: (1, height, width, 3), as `dermedge.prepare` returns it.

        Raises:
            BundleError: The model is broken: it can't be run, or what it gave is no finite number.
        """
        try:
            raw = self._engine.run(self._to_input(prepared))
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{self.runtime} can't run the model: {error}") from error
        found = {kind: self._value(kind, raw[place]) for kind, place in self._places.items()}
        return Outputs(found[LOGITS], found.get(MAP), found.get(EMBEDDING))

    def _value(self, kind: str, raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        tensor = self._engine.outputs[self._places[kind]]
        if tensor.dtype is np.float32:
            if not np.isfinite(raw).all():
                raise BundleError(f"the model gave {kind} that are no numbers")
            return raw[0]
        return (raw[0].astype(np.int64) - tensor.zero_point).astype(np.float32) * np.float32(
            tensor.scale
        )


def cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def runtimes() -> list[str]:
    """Distributions of the runtimes that are installed, the one that is used by default first."""
    return list(engine.installed())


def _check(entry: Tensor, exits: dict[str, Tensor], contract: Contract) -> None:
    """Refuse tensors that the contract does not describe; the outputs by their kind."""
    for tensor in (entry, *exits.values()):
        _expect_numbers(tensor)
    classes = len(contract.labels)
    _expect("input", entry, (1, contract.input.height, contract.input.width, 3))
    shapes = {LOGITS: (1, classes), MAP: (1, None, None, classes), EMBEDDING: (1, None)}
    for kind, tensor in exits.items():
        _expect(kind, tensor, shapes[kind])


def _expect(kind: str, tensor: Tensor, shape: tuple[int | None, ...]) -> None:
    """Refuse a tensor of another shape; None stands for any length."""
    found = tensor.shape
    if len(found) != len(shape) or any(
        w not in (None, n) for n, w in zip(found, shape, strict=True)
    ):
        wanted = str(shape).replace("None", "any")
        raise BundleError(f"model and contract disagree: expected {kind} {wanted}, found {found}")


def _expect_numbers(tensor: Tensor) -> None:
    if tensor.dtype is not np.float32 and not tensor.scale:
        raise BundleError(
            f"expected the tensor {tensor.name} to be float32 or quantised, found "
            f"{tensor.dtype.__name__} without a scale"
        )


def _converter(tensor: Tensor) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Express a prepared array in the input tensor's own type, scale and zero point."""
    dtype, scale, zero_point = tensor.dtype, tensor.scale, tensor.zero_point
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
