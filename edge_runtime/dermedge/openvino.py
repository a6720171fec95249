"""OpenVINO: runs the same .tflite file, on most x86 processors faster."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dermedge import tflite

MODULE, DISTRIBUTION = "openvino", "openvino"

_NO_CODE = "can't protect"  # all that its compiler says where memory may not become code


class Compiled:
    """A model compiled for this processor; an `engine.Engine`."""

    def __init__(self, openvino: Any, model: bytes, threads: int) -> None:
        """Compile it.

        Args:
            openvino: The module.
            model: The bytes of a .tflite file.
            threads: Threads to use.

        Raises:
            ValueError, RuntimeError: Not a model, or one with an unknown operation.
        """
        # OpenVINO hands raw values on, like TFLite, but doesn't tell what they stand for.
        self.input, self.outputs = tflite.describe(model)
        core = openvino.Core()
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "model.tflite")  # it reads no .tflite from memory
                file.write_bytes(model)
                found = core.read_model(file)
            self._request = core.compile_model(
                found, "CPU", _settings(threads)
            ).create_infer_request()
        except RuntimeError as error:
            raise RuntimeError(_gist(str(error))) from error
        except OSError as error:
            raise RuntimeError(f"it reads models from files only, and {error}") from error

    def run(self, value: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """See `engine.Engine.run`."""
        self._request.infer([value])
        return [self._request.get_tensor(output.name).data.copy() for output in self.outputs]


def load() -> partial[Compiled]:
    """Import OpenVINO.

    Raises:
        ImportError: It is not installed, or does not fit this machine.
    """
    # On import it would count its uses in the user's home and report them; without this module,
    # which is made for that alone, it does neither.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return partial(Compiled, import_module(MODULE))


def _settings(threads: int) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        # Its own choice is bfloat16 or float16 where the processor has it, which moves the scores.
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _gist(message: str) -> str:
    """What an exception says, without the lines of C++ that it came through."""
    lines = (line.strip() for line in message.splitlines())
    said = [line for line in lines if line and not line.startswith("Exception from ")]
    if said == [_NO_CODE]:
        said.append("what it wrote as machine code, as under MemoryDenyWriteExecute= of a service")
    return " ".join(said) or message
