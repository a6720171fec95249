"""LiteRT and tflite-runtime: two distributions of one interpreter."""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge.errors import MissingError
from dermedge.tensor import Tensor

# Module that offers `Interpreter`, and the distribution that brings it; the first found is used.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)
_MAX_BYTES = 1 << 30  # of all tensors together
NONE = "no TFLite runtime is installed; run: pip install ai-edge-litert"


class Interpreter:
    """A model in a TFLite interpreter; an `engine.Engine`."""

    def __init__(self, kind: Any, model: bytes, threads: int) -> None:
        """Build it.

        Args:
            kind: The class `Interpreter` of a distribution.
            model: The bytes of a .tflite file.
            threads: Threads to use.

        Raises:
            ValueError, RuntimeError: Not a model, or one with an unknown operation.
        """
        self._interpreter = kind(model_content=model, num_threads=threads)
        _expect_small(self._interpreter)
        self._interpreter.allocate_tensors()
        self.input, self.outputs = _tensors(self._interpreter)
        self._entry = self._interpreter.get_input_details()[0]["index"]
        self._exits = [found["index"] for found in self._interpreter.get_output_details()]

    def run(self, value: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """See `engine.Engine.run`."""
        self._interpreter.set_tensor(self._entry, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._exits]


def load(module: str) -> partial[Interpreter]:
    """Import a runtime.

    Raises:
        ImportError: It is not installed, or does not fit this machine.
    """
    return partial(Interpreter, import_module(module).Interpreter)


def describe(model: bytes) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The input and the outputs of a .tflite file, as the first installed runtime reads them.

    Nothing is allocated, so it costs little.

    Raises:
        MissingError: No runtime is installed.
        ValueError: Not a model, or one that would fill the memory.
    """
    for module, _ in RUNTIMES:
        try:
            kind = import_module(module).Interpreter
        except ImportError:
            continue
        interpreter = kind(model_content=model)
        _expect_small(interpreter)
        return _tensors(interpreter)
    raise MissingError(NONE)


def _expect_small(interpreter: Any) -> None:
    """Refuse, before anything is allocated, what would fill the memory.

    One flipped bit of a model can ask for 9 GB of input.
    """
    asked = sum(
        math.prod(map(int, details["shape"])) * np.dtype(details["dtype"]).itemsize
        for details in interpreter.get_tensor_details()
    )
    if asked > _MAX_BYTES:
        raise ValueError(f"its tensors would take {asked >> 20} MiB")


def _tensors(interpreter: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    exits = tuple(Tensor.of(details) for details in interpreter.get_output_details())
    return Tensor.of(interpreter.get_input_details()[0]), exits
