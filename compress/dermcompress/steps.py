"""What every kept result depends on beside its inputs: our code and the tools that it calls."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import metadata

from dermedge import __version__
from dermtrain.store import digest

# Counts up whenever the code of a step gives something else for the same inputs: what older code
# gave must not be found.
_CODE = 3
_TOOLS = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-quantizer")


def name(parts: Iterable[object]) -> str:
    """The name under which a result is kept: it changes with each part, the code and the tools."""
    return digest(__version__, _CODE, *map(_installed, _TOOLS), *parts)


@cache
def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
