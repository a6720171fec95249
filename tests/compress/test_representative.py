"""Representative photographs: of each class as many, dark to bright, and known by a hash."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermcompress.representative import LEAST, choose
from dermedge.errors import InputError


def photographs(brightness: np.ndarray) -> np.ndarray:
    """Tiny ones of these mean values, uint8 (n, 2, 2, 3)."""
    return np.broadcast_to(brightness[:, None, None, None], (len(brightness), 2, 2, 3)).astype(
        np.uint8
    )


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(lambda n: sum(n) >= LEAST),
    count=st.integers(LEAST, 100),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_classes_are_even_and_dark_to_bright(sizes: list[int], count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    brightness = random.permutation(256)[: len(labels)]
    rows = np.arange(len(labels))
    found = choose(photographs(brightness), rows, labels, count)
    assert len(found.rows) == min(count, len(labels))
    assert (np.diff(found.rows) > 0).all()
    given = np.bincount(labels[found.rows], minlength=len(sizes))
    for size, number in zip(sizes, given, strict=True):
        # Whoever gives less than another one gives all.
        assert number == size or number >= given.max() - 1
    for c in range(len(sizes)):
        members, chosen = brightness[labels == c], brightness[found.rows][labels[found.rows] == c]
        if len(chosen) > 1:
            assert chosen.min() == members.min()
            assert chosen.max() == members.max()
            ranks = np.flatnonzero(np.isin(np.sort(members), chosen))
            assert np.ptp(np.diff(ranks)) <= 1  # even steps


def test_only_the_given_rows_are_chosen_from() -> None:
    pixels, rows = photographs(np.arange(100)), np.arange(20, 90, 2)
    found = choose(pixels, rows, np.arange(100) // 2 % 2, 16)
    assert set(found.rows.tolist()) <= set(rows.tolist())
    assert len(found.rows) == 16


def test_the_hash_is_of_the_pixels_and_changes_with_one_of_them() -> None:
    pixels, rows, labels = photographs(np.arange(40)), np.arange(40), np.arange(40) % 2
    found = choose(pixels, rows, labels, 20)
    assert found.sha256 == hashlib.sha256(pixels[found.rows].tobytes()).hexdigest()
    assert choose(pixels, rows, labels, 20).sha256 == found.sha256
    pixels[found.rows[3], 1, 0, 2] += 1
    assert choose(pixels, rows, labels, 20).sha256 != found.sha256


def test_the_contract_is_told_how_many_how_and_which() -> None:
    found = choose(photographs(np.arange(40)), np.arange(40), np.arange(40) % 2, 20)
    told = found.as_dict()
    assert told["count"] == 20
    assert told["sha256"] == found.sha256
    assert "brightness" in str(told["choice"])
    assert "class" in str(told["choice"])


@pytest.mark.parametrize(("there", "count"), [(15, 100), (100, 15), (0, 16)])
def test_too_few_photographs_are_refused(there: int, count: int) -> None:
    pixels, rows = photographs(np.arange(100)), np.arange(there)
    with pytest.raises(InputError, match=f"at least 16 .* found {min(there, count)}"):
        choose(pixels, rows, np.zeros(100, np.int64), count)
