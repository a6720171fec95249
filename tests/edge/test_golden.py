import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import contract, golden
from dermedge.bundle import Bundle, open_bundle
from dermedge.contract import Contract
from dermedge.errors import BundleError
from dermedge.golden import Golden
from dermedge.model import Classifier


@pytest.fixture(scope="module")
def bundle(tiny_bundles: tuple[Path, Path]) -> Bundle:
    return open_bundle(tiny_bundles[1])


@pytest.fixture(scope="module")
def vectors(bundle: Bundle) -> Golden:
    return golden.take(Classifier(bundle.model, bundle.contract, 1), bundle.contract)


def test_they_come_back_as_they_were_written(vectors: Golden, bundle: Bundle):
    found = golden.parse(vectors.to_json(), bundle.contract)
    assert found.tolerance == vectors.tolerance
    assert np.array_equal(found.logits, vectors.logits)
    assert all(np.array_equal(a, b) for a, b in zip(found.inputs, vectors.inputs, strict=True))


def test_prepared_pictures_may_be_float(bundle: Bundle):
    scaled = contract.Input(48, 48, scale=1 / 127.5, offset=-1.0)
    terms = dataclasses.replace(bundle.contract, input=scaled)
    taken = golden.take(Classifier(bundle.model, terms, 1), terms)
    found = golden.parse(taken.to_json(), terms)
    assert found.inputs[0].dtype == np.float32
    assert np.array_equal(found.inputs[0], taken.inputs[0])


def test_the_pictures_are_always_the_same_and_differ(vectors: Golden):
    one, two = golden.patterns(), golden.patterns()
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert len({picture.tobytes() for picture in one}) == len(one) == len(vectors.inputs)


def test_a_sound_device_passes(vectors: Golden, bundle: Bundle):
    whole = dataclasses.replace(bundle, golden=vectors.to_json())
    assert golden.check(whole, 1) == golden.Check(3, 0.0, golden.TOLERANCE)


def test_a_bundle_without_vectors_has_to_run(bundle: Bundle):
    assert golden.check(bundle, 1) == golden.Check(0, 0.0, 0)
    with pytest.raises(BundleError, match="can't run"):
        golden.check(dataclasses.replace(bundle, model=b"TFL3"), 1)


@pytest.mark.parametrize(("steps", "passes"), [(7.5, True), (8.5, False)])
def test_the_tolerance_counts_steps_of_a_probability(
    vectors: Golden, bundle: Bundle, steps: float, passes: bool
):
    heat = bundle.contract.calibration.temperature
    share = 1 / (1 + np.exp(-(vectors.logits[0] - vectors.logits[0][::-1]) / heat))
    share = share + np.array([-1, 1]) * np.sign(share[0] - 0.5) * steps / 256
    logits = vectors.logits.copy()
    logits[0] = heat * np.log(share)
    moved = dataclasses.replace(vectors, logits=logits)
    whole = dataclasses.replace(bundle, golden=moved.to_json())
    if passes:
        assert golden.check(whole, 1).off == pytest.approx(steps, abs=0.01)
    else:
        with pytest.raises(BundleError, match=r"8\.5 steps of 1/256 off, at most 8 are allowed"):
            golden.check(whole, 1)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("more",), 1),
        (("tolerance",), -1),
        (("tolerance",), True),
        (("vectors",), []),
        (("vectors",), {}),
        (("vectors",), [{}] * 17),
        (("vectors", 0, "dtype"), "object"),
        (("vectors", 0, "shape"), [1, 48, 48]),
        (("vectors", 0, "shape"), 5),
        (("vectors", 0, "data"), "AAAA"),
        (("vectors", 0, "data"), "not base64!"),
        (("vectors", 0, "logits"), [1.0]),
        (("vectors", 0, "logits"), [1e300, 0.0]),
        (("vectors", 0, "logits"), [float("nan"), 0.0]),
        (("vectors", 0, "logits"), None),
    ],
)
def test_what_is_not_understood_is_refused(
    vectors: Golden, bundle: Bundle, place: tuple, value: object
):
    data = json.loads(vectors.to_json())
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(BundleError, match=r"golden\.json"):
        golden.parse(json.dumps(data), bundle.contract)


@given(
    text=st.text(max_size=50)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["format", "tolerance", "vectors", "dtype", "shape", "data"]), inner
            )
        ),
        max_leaves=9,
    ).map(json.dumps)
)
@settings(max_examples=300)
def test_no_text_crashes_it(terms: Contract, text: str):
    with pytest.raises(BundleError):
        golden.parse(text, terms)
