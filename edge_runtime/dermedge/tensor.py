"""Tensor: one input or output of a model, as its file describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        name: As the file calls it.
        shape: With the batch, which is 1.
        dtype: The scalar type of its values, e.g. `np.uint8`.
        scale: A quantized value q stands for scale * (q - zero_point); 0 where there is none.
        zero_point: See `scale`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: type[Any]
    scale: float = 0.0
    zero_point: int = 0

    @classmethod
    def of(cls, details: dict[str, Any]) -> Tensor:
        """From what a TFLite interpreter tells of it."""
        scale, zero_point = details["quantization"]
        shape = tuple(int(n) for n in details["shape"])
        return cls(details["name"], shape, details["dtype"], float(scale), int(zero_point))
