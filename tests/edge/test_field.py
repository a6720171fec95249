import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import field
from dermedge.contract import Input
from dermedge.prepare import prepare

MODES = "stretch", "pad", "crop"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (100, 100), (37, 411)])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_it_is_where_prepare_takes_the_input_from(
    mode: str, shape: tuple[int, int], size: tuple[int, int]
):
    """A picture whose red is its column and whose green is its row tells where each pixel was."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    picture = np.stack([columns * 255 / shape[1], rows * 255 / shape[0], 0 * rows + 255], -1)
    spec = Input(*size, resize=mode, interpolation="linear")
    taken = prepare(np.rint(picture).astype(np.uint8), spec)[0].astype(float)
    seen = field.of(*shape, spec)
    at = [
        start + (np.arange(count) + 0.5) * length / count
        for start, length, count in (
            (seen.top, seen.height, size[0]),
            (seen.left, seen.width, size[1]),
        )
    ]
    inside = taken[..., 2] == 255  # the padding is black
    down, across = (np.broadcast_to(x, size) for x in (at[0][:, None], at[1][None]))
    # A pixel of the input, or one of the photograph and what 256 colours can't tell apart.
    for found, wanted, side, step in (
        (taken[..., 1], down, shape[0], seen.height / size[0]),
        (taken[..., 0], across, shape[1], seen.width / size[1]),
    ):
        off = np.abs(found * side / 255 + 0.5 - wanted)[inside]
        assert off.max() <= 1 + max(step, side / 255)


@given(
    mode=st.sampled_from(MODES),
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    rows=st.integers(16, 600),
    columns=st.integers(16, 600),
)
def test_what_lies_within_a_photograph_is_never_empty(
    mode: str, height: int, width: int, rows: int, columns: int
):
    spec = Input(rows, columns, resize=mode)
    seen = field.of(height, width, spec)
    down, across = seen.within(height, width)
    assert 0 <= down.start < down.stop <= height
    assert 0 <= across.start < across.stop <= width
    if mode != "crop":
        assert (down.stop - down.start, across.stop - across.start) == (height, width)
    if mode != "stretch":
        assert seen.height * columns == pytest.approx(seen.width * rows)
