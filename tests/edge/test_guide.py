import numpy as np
import pytest

from dermedge import guide
from dermedge.contract import Input


@pytest.mark.parametrize(
    ("mode", "left", "right"), [("stretch", 0, 160), ("pad", 0, 160), ("crop", 20, 140)]
)
def test_it_marks_what_the_model_sees_and_the_middle_of_it(mode: str, left: int, right: int):
    picture = np.full((120, 160, 3), 128, np.uint8)
    drawn = guide.draw(picture, Input(48, 48, resize=mode))
    assert (picture == 128).all()
    rows, columns = np.nonzero((drawn != 128).any(-1))
    assert (rows.min(), rows.max()) == (0, 119)
    assert abs(columns.min() - left) <= 1
    assert abs(columns.max() - (right - 1)) <= 1
    ring = drawn[:, 80].max(-1) > 180  # the middle column meets it twice
    found = np.flatnonzero(ring)
    assert abs(found.min() - 24) <= 1  # 0.6 of 120, around 60
    assert abs(found.max() - 96) <= 1
    assert (drawn[50:70, 60:100] == 128).all()  # the lesion itself is not drawn over


def test_it_is_seen_on_black_and_on_white():
    for level in (0, 255):
        picture = np.full((120, 160, 3), level, np.uint8)
        assert (np.abs(guide.draw(picture, Input(48, 48)).astype(int) - level) > 200).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (640, 2)])
def test_any_picture_can_be_marked(shape: tuple[int, int]):
    picture = np.zeros((*shape, 3), np.uint8)
    assert guide.draw(picture, Input(48, 96, resize="crop")).shape == picture.shape
