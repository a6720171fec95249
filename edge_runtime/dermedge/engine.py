"""Engines: what the kit asks of a runtime, and which runtimes there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Protocol

import numpy.typing as npt

from dermedge import openvino, tflite
from dermedge.errors import MissingError
from dermedge.tensor import Tensor


class Engine(Protocol):
    """A model, built in one runtime; not safe to share between threads.

    Attributes:
        input: Its first input.
        outputs: In the order of the model file.
    """

    input: Tensor
    outputs: tuple[Tensor, ...]

    def run(self, value: npt.NDArray[Any]) -> Sequence[npt.NDArray[Any]]:
        """Run the model once.

        Args:
            value: Of the shape and type of `input`, raw.

        Returns:
            The raw values of each of `outputs`; the next run leaves them as they are.
        """
        ...


# From a model's bytes and a number of threads; raises ValueError or RuntimeError if it can't.
Build = Callable[[bytes, int], Engine]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What can run models.

    Attributes:
        distribution: Its name for pip, and for `--runtime`.
        module: What is imported.
        load: Import it; raises ImportError if it isn't there or doesn't fit this machine.
    """

    distribution: str
    module: str
    load: Callable[[], Build]

    @property
    def version(self) -> str:
        """Of the installed distribution."""
        return metadata.version(self.distribution)


# The first that can be loaded is used by default.
RUNTIMES = (
    *(Runtime(name, module, partial(tflite.load, module)) for module, name in tflite.RUNTIMES),
    Runtime(openvino.DISTRIBUTION, openvino.MODULE, openvino.load),
)


def find(wanted: str | None = None) -> tuple[Build, str]:
    """Load a runtime.

    Args:
        wanted: Its distribution; default: the first that can be loaded.

    Returns:
        What builds engines, and name and version, e.g. "ai-edge-litert 2.3.0".

    Raises:
        MissingError: It is unknown or not installed, or none is.
    """
    known = [runtime.distribution for runtime in RUNTIMES]
    if wanted not in (None, *known):
        raise MissingError(f"there is no runtime {wanted}; there are {', '.join(known)}")
    why = "is not installed"
    for runtime in RUNTIMES:
        if wanted in (None, runtime.distribution):
            try:
                return runtime.load(), f"{runtime.distribution} {runtime.version}"
            except ImportError as error:
                if not isinstance(error, ModuleNotFoundError):
                    why = f"can't be loaded ({error})"
    if wanted:
        raise MissingError(f"{wanted} {why}; run: pip install {wanted}")
    raise MissingError(tflite.NONE)


def installed() -> dict[str, str]:
    """Distribution and version of every runtime that is there, the default one first."""
    found = {}
    for one in RUNTIMES:
        with suppress(metadata.PackageNotFoundError):
            found[one.distribution] = one.version
    return found
