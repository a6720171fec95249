"""Which part of a photograph a model sees."""

from __future__ import annotations

from dataclasses import dataclass

from dermedge.contract import Input


@dataclass(frozen=True, slots=True)
class Field:
    """What becomes the model's input, in pixels of the photograph; see `dermedge.prepare`.

    Attributes:
        top: Of its upper edge; below 0 if the input is padded there.
        left: Of its left edge; likewise.
        height: From there to its lower edge, which may lie below the photograph's.
        width: From there to its right edge; likewise.
    """

    top: float
    left: float
    height: float
    width: float

    def within(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a photograph of so many pixels that lie in it; at least one each."""
        return _within(self.top, self.height, height), _within(self.left, self.width, width)


def of(height: int, width: int, spec: Input) -> Field:
    """The field of a photograph of so many pixels, or of the same at another size.

    With `pad` and `crop` the ratio of its sides is that of the input, and it lies in the middle.
    """
    if spec.resize == "stretch":
        return Field(0.0, 0.0, height, width)
    pick = max if spec.resize == "pad" else min
    pixels = pick(height / spec.height, width / spec.width)  # of the photograph, to one of input
    rows, columns = spec.height * pixels, spec.width * pixels
    return Field((height - rows) / 2, (width - columns) / 2, rows, columns)


def _within(start: float, length: float, pixels: int) -> slice:
    first = min(max(0, round(start)), pixels - 1)
    return slice(first, max(first + 1, min(pixels, round(start + length))))
