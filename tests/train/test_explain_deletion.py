from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import auc

from dermedge.table import Row

pytestmark = pytest.mark.tensorflow
GRID = 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def linear(weights: np.ndarray):
    """A model whose score is the weighted sum of the blocks' light."""

    def score(pixels: np.ndarray) -> np.ndarray:
        n, height, width, _ = pixels.shape
        blocks = pixels[..., 0].reshape(n, GRID, height // GRID, GRID, width // GRID)
        return (blocks.mean(axis=(2, 4)) * weights).sum(axis=(1, 2))

    return score


def test_deletion_of_a_linear_model_follows_its_weights_exactly(rng: np.random.Generator) -> None:
    from dermtrain.explain import deletion

    weights = rng.random((GRID, GRID))
    rank = deletion.ranks(weights.astype(np.float32), rng, GRID)
    pixels, gone = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    found = deletion.curve(linear(weights), pixels, rank, steps=16, gone=gone)
    lost = np.concatenate([[0], np.cumsum(np.sort(weights.ravel())[::-1])])
    np.testing.assert_allclose(found, weights.sum() - lost, atol=1e-5)


def test_the_order_of_the_weights_leaves_the_least_area(rng: np.random.Generator) -> None:
    from dermtrain.explain import deletion

    weights = rng.random((GRID, GRID))
    ranks = [deletion.ranks(weights.astype(np.float32), rng, GRID)]
    ranks += [deletion.random_ranks(rng, GRID) for _ in range(40)]
    pixels, gone = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    areas = deletion.area(deletion.curves(linear(weights), pixels, ranks, 8, gone))
    assert areas.argmin() == 0


def test_many_orders_give_the_same_curves_as_one_at_a_time(rng: np.random.Generator) -> None:
    from dermtrain.explain import deletion

    weights, pixels = rng.random((GRID, GRID)), rng.integers(0, 256, (12, 12, 3), np.uint8)
    ranks = [deletion.random_ranks(rng, GRID) for _ in range(5)]
    together = deletion.curves(linear(weights), pixels, ranks)
    alone = [deletion.curve(linear(weights), pixels, rank) for rank in ranks]
    np.testing.assert_allclose(together, alone)
    assert (together[:, 0] == together[0, 0]).all()
    assert (together[:, -1] == together[0, -1]).all()


@settings(max_examples=50)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-5, 5, width=32),
    )
)
def test_every_block_goes_once(values: np.ndarray) -> None:
    from dermtrain.explain.deletion import ranks

    found = ranks(values, np.random.default_rng(0), GRID)
    assert sorted(found.ravel().tolist()) == list(range(GRID * GRID))


def test_blocks_of_equal_value_do_not_go_row_by_row() -> None:
    from dermtrain.explain.deletion import ranks

    flat = np.zeros((GRID, GRID), np.float32)
    orders = {tuple(ranks(flat, np.random.default_rng(s), GRID).ravel()) for s in range(5)}
    assert len(orders) == 5


def test_the_centre_goes_before_the_corners(rng: np.random.Generator) -> None:
    from dermtrain.explain.deletion import centre_ranks

    found = centre_ranks(rng, GRID)
    assert found[1:3, 1:3].max() == 3
    assert found[[0, 0, -1, -1], [0, -1, 0, -1]].min() == 12


@settings(max_examples=50)
@given(arrays.arrays(float, st.integers(2, 12), elements=st.floats(0, 1)))
def test_areas_agree_with_scikit_learn(values: np.ndarray) -> None:
    from dermtrain.explain.deletion import area

    assert area(values) == pytest.approx(auc(np.linspace(0, 1, len(values)), values), abs=1e-9)


def test_the_difference_finds_an_effect_and_does_not_invent_one(rng: np.random.Generator) -> None:
    from dermtrain.explain.deletion import Curves, difference

    def of(gain: float) -> Curves:
        base = rng.random((1, 11)) / 5 + 0.4
        return Curves("a", "b", {"map": base - gain + rng.normal(0, 0.02, (1, 11)), "random": base})

    better = difference([of(0.2) for _ in range(30)], "map", "random")
    assert better.low < better.value < better.high < 0
    assert better.value == pytest.approx(-0.2, abs=0.02)
    same = difference([of(0.0) for _ in range(30)], "map", "random")
    assert same.low < 0 < same.high or abs(same.value) < 0.01
    assert np.isnan(difference([of(0.2)], "map", "random").low)


def test_the_sample_is_half_positive_where_there_are_so_many() -> None:
    from dermtrain.explain.check import sample

    rows = [Row(f"{i}.jpg", "malignant" if i % 4 == 0 else "benign") for i in range(40)]

    def drawn(count: int) -> list[Row]:
        return sample(rows, ["malignant"], count, np.random.default_rng(1))

    assert sum(row.label == "malignant" for row in drawn(12)) == 6
    assert sum(row.label == "malignant" for row in drawn(30)) == 10
    assert len(drawn(100)) == 40
    assert drawn(12) == drawn(12)
    assert len({row.image for row in drawn(12)}) == 12
    assert len(sample(rows, [], 8, np.random.default_rng(1))) == 8
