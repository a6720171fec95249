from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dermedge import table as tables
from dermedge.contract import Input
from dermedge.errors import InputError

pytestmark = pytest.mark.tensorflow
SPEC = Input(64, 64)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedding") / "embedding.npz"


@pytest.fixture(scope="module")
def known(net, pictures: Path, cache: Path):
    from dermtrain.explain.neighbours import of_table

    return of_table(net, tables.read(pictures), SPEC, cache)


def test_a_training_photograph_is_its_own_nearest_neighbour(net, prepared, known) -> None:
    from dermtrain.explain.neighbours import embed, embedder, nearest

    for number in (0, 17, 39):
        query = embed(embedder(net), prepared.values[number : number + 1])[0]
        first, second, *_ = nearest(known, query, 5)
        assert first.image == prepared.table.rows[number].image
        assert first.label == prepared.table.rows[number].label
        assert first.distance == pytest.approx(0, abs=1e-5)
        assert second.distance > 0


def test_neighbours_agree_with_scikit_learn(known) -> None:
    from dermtrain.explain.neighbours import nearest

    values = known.values.astype(np.float32)
    peer = NearestNeighbors(metric="cosine", algorithm="brute").fit(values)
    distances, numbers = peer.kneighbors(values[5:6], 6)
    found = nearest(known, values[5] / np.linalg.norm(values[5]), 6)
    assert [n.image for n in found] == [known.images[i] for i in numbers[0]]
    np.testing.assert_allclose([n.distance for n in found], distances[0], atol=1e-3)


def test_a_second_call_finds_the_embedding_in_its_file(net, pictures, cache, known) -> None:
    from dermtrain.explain.neighbours import of_table

    def never(*_: object) -> None:
        raise AssertionError("embedded again")

    again = of_table(net, tables.read(pictures), SPEC, cache, never)
    np.testing.assert_array_equal(again.values, known.values)


@pytest.mark.parametrize("spoil", ["other photographs", "broken"])
def test_a_file_that_does_not_fit_is_made_anew(net, pictures, known, tmp_path, spoil) -> None:
    from dermtrain.explain.neighbours import of_table

    table = tables.read(pictures)
    path = tmp_path / "embedding.npz"
    if spoil == "broken":
        path.write_bytes(b"PK\x03\x04 nothing")
    else:
        np.savez(path, images=np.array(["x.jpg"]), values=known.values[:1])
    few = replace(table, rows=table.rows[:3])
    np.testing.assert_allclose(
        of_table(net, few, SPEC, path).values.astype(float), known.values[:3], atol=2e-3
    )


def test_no_training_photographs_is_an_error(net, pictures: Path, tmp_path: Path) -> None:
    from dermtrain.explain.neighbours import of_table

    with pytest.raises(InputError, match="no training photographs"):
        of_table(net, replace(tables.read(pictures), rows=()), SPEC, tmp_path / "e.npz")
