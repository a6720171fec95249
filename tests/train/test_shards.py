"""Shards on disk: one array to those who read, checked, and never half."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dermedge.errors import StorageError
from dermedge.quality import Figures
from dermtrain import shards
from dermtrain.shards import Shards

COUNTS = (4, 4, 1, 4, 2)
WHOLE = np.random.default_rng(0).integers(0, 256, (sum(COUNTS), 3, 2, 3), np.uint8)


def _figures(number: int) -> Figures:
    return Figures(number, number / 3, number / 7, 1 / (number + 1))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """WHOLE in five shards of unequal length."""
    folder, parts, start = tmp_path_factory.mktemp("shards"), [], 0
    for count in COUNTS:
        rows = [(WHOLE[i], _figures(i)) for i in range(start, start + count)]
        parts.append(shards.write(folder / f"{start}.npy", rows))
        start += count
    return Shards(parts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A shard of four photographs."""
    shards.write(tmp_path / "s.npy", [(WHOLE[i], _figures(i)) for i in range(4)])
    return tmp_path / "s.npy"


NUMBERS = st.integers(-len(WHOLE), len(WHOLE) - 1)
INDICES = (
    NUMBERS
    | st.slices(len(WHOLE))
    | st.lists(NUMBERS, max_size=40).map(lambda chosen: np.array(chosen, np.int64))
    | arrays.arrays(np.int32, st.tuples(st.integers(0, 3), st.integers(0, 3)), elements=NUMBERS)
    | arrays.arrays(np.bool_, len(WHOLE))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(INDICES)
def test_an_index_gives_what_the_whole_array_would(split: Shards, index: object) -> None:
    found, expected = split[index], WHOLE[index]  # type: ignore[index]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


def test_looks_like_an_array(split: Shards) -> None:
    assert (split.shape, split.dtype, len(split)) == (WHOLE.shape, np.uint8, len(WHOLE))
    np.testing.assert_array_equal(split, WHOLE)
    np.testing.assert_array_equal(list(split), WHOLE)
    np.testing.assert_array_equal(np.asarray(split, np.float32), WHOLE.astype(np.float32))
    read = split[2:6]
    read[:] = 0  # a copy: the file stays as it is
    np.testing.assert_array_equal(split, WHOLE)


@pytest.mark.parametrize(
    "index", [15, -16, np.array([0, 15]), np.array([0.5]), (0, 1), (..., 0), (slice(2), slice(2))]
)
def test_wrong_index_is_refused(split: Shards, index: object) -> None:
    with pytest.raises(IndexError):
        split[index]  # type: ignore[index]


def test_a_shard_is_a_plain_npy_file(path: Path) -> None:
    np.testing.assert_array_equal(np.load(path), WHOLE[:4])


def test_found_again_with_its_figures(path: Path) -> None:
    found = shards.find(path, (4, 3, 2, 3))
    assert found is not None
    assert found.figures == tuple(_figures(i) for i in range(4))
    np.testing.assert_array_equal(Shards([found]), WHOLE[:4])


def _flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _notes_without_checksum(path: Path) -> None:
    notes = json.loads(path.with_suffix(".json").read_text())
    del notes["sha256"]
    path.with_suffix(".json").write_text(json.dumps(notes))


DAMAGE = {
    "one bit": _flip_last_bit,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "empty": lambda path: path.write_bytes(b""),
    "no shard": lambda path: path.unlink(),
    "no notes": lambda path: path.with_suffix(".json").unlink(),
    "notes cut off": lambda path: path.with_suffix(".json").write_text('{"bytes": 3'),
    "notes not text": lambda path: path.with_suffix(".json").write_bytes(b"\xff\xfe\x00"),
    "notes a list": lambda path: path.with_suffix(".json").write_text("[1, 2]"),
    "notes lack the checksum": _notes_without_checksum,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_does_not_count(path: Path, damage: str) -> None:
    DAMAGE[damage](path)
    assert shards.find(path, (4, 3, 2, 3)) is None


@pytest.mark.parametrize("shape", [(3, 3, 2, 3), (4, 2, 3, 3)])
def test_a_shard_of_another_shape_does_not_count(path: Path, shape: tuple[int, ...]) -> None:
    assert shards.find(path, shape) is None


def test_checksum_is_the_same_without_file_digest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("hashlib.file_digest", raising=False)  # as in Python 3.10
    assert shards.find(path, (4, 3, 2, 3)) is not None


@pytest.mark.parametrize("lost", ["cut off", "no shard"])
def test_a_shard_lost_while_in_use_is_an_error_with_its_name(path: Path, lost: str) -> None:
    found = shards.find(path, (4, 3, 2, 3))
    assert found is not None
    DAMAGE[lost](path)
    with pytest.raises(StorageError, match=r"s\.npy .*; run the command again"):
        Shards([found])[:]


@pytest.mark.parametrize(("side", "count"), [(32, 256), (299, 256), (600, 69), (9000, 1)])
def test_a_shard_is_bounded_in_photographs_and_in_bytes(side: int, count: int) -> None:
    assert shards.rows(side, side) == count
