import dataclasses
import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from dermedge import answer, golden, novelty, relay, update
from dermedge.bundle import Bundle, open_bundle, pack
from dermedge.contract import Novelty
from dermedge.decide import Verdict
from dermedge.diagnose import Diagnostician
from dermedge.errors import BundleError
from dermedge.novelty import Watch
from dermedge.predictions import predict
from dermedge.table import Row, Table

LENGTH = 80


def like(count: int, seed: int) -> np.ndarray:
    """Embeddings that differ in 20 of 80 directions, and a little in the others."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(20, LENGTH))
    noise = random.normal(0, 0.3, (count, LENGTH))
    return (5 + random.normal(size=(count, 20)) @ directions + noise).astype(np.float32)


@pytest.fixture(scope="module")
def watch() -> Watch:
    found = novelty.fit(like(400, 1), like(200, 2))
    assert found is not None
    return found


def test_the_stated_share_of_photographs_like_those_of_validation_is_unlike(watch: Watch):
    ratios = np.array([watch.ratio(one) for one in like(2000, 3)])
    assert 0.005 < np.mean(ratios > 1) < 0.04
    assert watch.terms == Novelty(
        "residual", LENGTH, novelty.COMPONENTS, watch.terms.threshold, 0.02, 400, 200
    )


@pytest.mark.parametrize("count", [49, 50, 98, 99, 100, 308])
def test_no_more_of_validation_than_stated_lies_beyond_the_threshold(count: int):
    validation = like(count, 4)
    found = novelty.fit(like(300, 1), validation)
    assert found is not None
    beyond = sum(found.ratio(one) > 1 for one in validation)
    assert (beyond + 1) / (count + 1) <= 0.02 + 1e-9 or beyond == 0
    assert (beyond + 2) / (count + 1) > 0.02  # and not one fewer than may


def test_embeddings_elsewhere_are_unlike_however_long(watch: Watch):
    other = np.random.default_rng(5).normal(size=(50, LENGTH)).astype(np.float32)
    assert all(watch.ratio(one) > 1.5 for one in other)
    assert watch.ratio(other[0]) == pytest.approx(watch.ratio(other[0] * 1000), rel=1e-4)
    for odd in (np.zeros(LENGTH, np.float32), np.full(LENGTH, 1e38, np.float32)):
        assert np.isfinite(watch.ratio(odd))


def test_the_distance_is_what_principal_components_leave_over(watch: Watch):
    rows = like(400, 1).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    outside = PCA(novelty.COMPONENTS, svd_solver="full").fit(rows)
    seen = like(20, 6).astype(np.float64)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    left = seen - outside.inverse_transform(outside.transform(seen))
    expected = np.linalg.norm(left, axis=1)
    found = [watch.subspace.distance(one) for one in like(20, 6)]
    np.testing.assert_allclose(found, expected, rtol=0.01)  # float16 rounds


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        (like(novelty.MIN_TRAINING - 1, 1), like(100, 2)),
        (like(300, 1), like(48, 2)),  # 2 % of so few is less than one
        (np.ones((300, LENGTH), np.float32), np.ones((100, LENGTH), np.float32)),
        (np.zeros((300, LENGTH), np.float32), np.zeros((100, LENGTH), np.float32)),
        (np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)),
        (np.ones((300, 1), np.float32), np.ones((100, 1), np.float32)),
    ],
    ids=["training", "validation", "constant", "dead", "none", "one number"],
)
def test_of_too_little_nothing_is_learnt(training: np.ndarray, validation: np.ndarray):
    assert novelty.fit(training, validation) is None


def test_numbers_survive_their_bytes(watch: Watch):
    found = novelty.parse(watch.subspace.to_bytes(), watch.terms)
    np.testing.assert_array_equal(found.mean, watch.subspace.mean)
    np.testing.assert_array_equal(found.basis, watch.subspace.basis)


@given(st.binary(max_size=200), st.integers(2, 8), st.integers(1, 7))
def test_any_bytes_are_numbers_or_a_bundle_error(data: bytes, dimensions: int, components: int):
    terms = Novelty("residual", dimensions, components, 1.0, 0.02, 1, 1)
    padded = (data * 300)[: 2 * dimensions * (components + 1)]
    for given_bytes in (data, padded):
        try:
            found = novelty.parse(given_bytes, terms)
        except BundleError:
            continue
        assert found.basis.shape == (components, dimensions)
        assert np.isfinite(found.distance(np.ones(dimensions, np.float32)))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 6e4])
def test_what_is_no_number_is_refused(watch: Watch, number: float):
    rows = np.vstack([watch.subspace.mean, watch.subspace.basis]).astype("<f2")
    rows[3, 5] = number
    with pytest.raises(BundleError, match="not parts of unit vectors"):
        novelty.parse(rows.tobytes(), watch.terms)


@pytest.mark.parametrize("change", [lambda data: data[:-2], lambda data: data + b"\0\0"])
def test_numbers_of_another_size_are_refused(watch: Watch, change):
    with pytest.raises(BundleError, match=f"expected 33 rows of {LENGTH} numbers"):
        novelty.parse(change(watch.subspace.to_bytes()), watch.terms)


def test_an_unlike_photograph_is_not_assessable_and_says_why(
    watched: Bundle, spot: np.ndarray, strange: np.ndarray
):
    doctor = Diagnostician(watched, 1)
    known, unlike = doctor.diagnose(spot), doctor.diagnose(strange)
    assert known.novelty is not None
    assert unlike.novelty is not None
    assert known.novelty <= 1 < unlike.novelty
    assert known.quality.ok
    assert known.verdict is not Verdict.NOT_ASSESSABLE
    assert unlike.verdict is Verdict.NOT_ASSESSABLE
    assert unlike.decision == "not assessable"
    assert "unlike the training photographs: is the lesion in" in unlike.quality.verdict
    said = json.loads(answer.as_json(Path("a.jpg"), unlike, watched.contract))
    assert said["novelty"] == pytest.approx(unlike.novelty, abs=1e-4)
    assert said["quality"] == unlike.quality.verdict


def test_the_model_that_is_installed_tells_as_well(
    watched: Bundle, tiny_bundles: tuple[Path, Path], strange: np.ndarray, tmp_path: Path
):
    home = tmp_path / "home"
    update.install(home, tiny_bundles[0], lambda found: golden.check(found, 1), True)
    first = relay.appoint(Path("installed"), home, 1)
    assert first.diagnose(strange).novelty is None
    update.install(home, watched.path, lambda found: golden.check(found, 1), True)
    told = relay.appoint(Path("installed"), home, 1).diagnose(strange)
    assert told.verdict is Verdict.NOT_ASSESSABLE
    first.diagnose(strange)  # begins to build the new one
    for thread in threading.enumerate():
        if thread.name == "dermedge-relay":
            thread.join()
    assert first.diagnose(strange).verdict is Verdict.NOT_ASSESSABLE


def test_a_model_that_can_not_tell_judges_whatever_it_is_shown(
    tiny_bundles: tuple[Path, Path], strange: np.ndarray
):
    opened = open_bundle(tiny_bundles[0])
    found = Diagnostician(opened, 1).diagnose(strange)
    assert found.novelty is None
    assert found.verdict is not Verdict.NOT_ASSESSABLE
    assert json.loads(answer.as_json(Path("a.jpg"), found, opened.contract))["novelty"] is None


def test_the_unlike_count_as_not_assessable_and_are_scored_all_the_same(
    watched: Bundle, spot: np.ndarray, strange: np.ndarray, tmp_path: Path
):
    for name, image in (("a.png", spot), ("b.png", strange)):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    rows = (Row("a.png", "benign"), Row("b.png", "malignant"))
    table = Table(tmp_path / "t.csv", tmp_path, rows)
    found = predict(Diagnostician(watched, 1), table)
    assert found.not_assessable == 1
    assert found.decisions[1] == "not assessable"
    assert found.quality[0] == "ok"
    assert "unlike" in found.quality[1]
    assert np.isfinite(found.probabilities).all()


def test_section_and_numbers_come_together_or_not_at_all(watched: Bundle, tmp_path: Path):
    terms, without = watched.contract, dataclasses.replace(watched.contract, novelty=None)
    for given_terms, numbers in ((terms, b""), (without, watched.novelty)):
        with pytest.raises(BundleError, match="belong together"):
            pack(tmp_path / "a.kit", given_terms, watched.model, "", "", numbers)
    assert not (tmp_path / "a.kit").exists()
    pack(tmp_path / "a.kit", without, watched.model, "")
    assert open_bundle(tmp_path / "a.kit").novelty == b""


def test_a_device_refuses_numbers_that_do_not_fit_the_model(watched: Bundle):
    assert golden.check(watched, 1).off == 0
    terms = watched.contract.novelty
    assert terms is not None
    longer = dataclasses.replace(terms, dimensions=terms.dimensions + 1)
    numbers = bytes(2 * longer.dimensions * (1 + longer.components))
    broken = dataclasses.replace(
        watched, contract=dataclasses.replace(watched.contract, novelty=longer), novelty=numbers
    )
    with pytest.raises(BundleError, match="expected an embedding"):
        golden.check(broken, 1)
    with pytest.raises(BundleError, match="rows of"):
        Diagnostician(dataclasses.replace(watched, novelty=watched.novelty[:-2]), 1)
