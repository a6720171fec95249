import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import contract
from dermedge.bundle import open_bundle
from dermedge.contract import Contract, parse
from dermedge.errors import BundleError

FREE = ("thresholds", "versions", "metrics")  # objects whose keys are not fixed
VALID: dict[str, Any] = {
    "model": {"file": "model.tflite", "sha256": "0" * 64, "kind": "tflite"},
    "input": {
        "height": 299,
        "width": 299,
        "colour": "rgb",
        "resize": "stretch",
        "interpolation": "area",
        "scale": 1.0,
        "offset": 0.0,
    },
    "labels": [
        {"id": 0, "name": "benign", "positive": False},
        {"id": 1, "name": "malignant", "positive": True},
    ],
    "outputs": [
        {"name": "logits", "kind": "logits"},
        {"name": "embedding", "kind": "embedding"},
    ],
    "calibration": {"temperature": 1.5},
    "decision": {
        "thresholds": {"sensitivity>=0.90": 0.4},
        "chosen_for": "sensitivity>=0.90",
        "uncertain_band": [0.38, 0.42],
    },
    "quality": {
        "min_side": 64,
        "min_sharpness": 1.0,
        "min_brightness": 20.0,
        "max_brightness": 240.0,
        "max_glare": 0.2,
    },
    "provenance": {
        "data": "isic2017",
        "licence": "CC0-1.0",
        "made_up": False,
        "split": "by lesion",
        "weights": "imagenet",
        "recipe": "default",
        "seed": 0,
        "versions": {"numpy": "2.4.6"},
        "metrics": {"test": {"auc": {"value": 0.8, "low": 0.7, "high": 0.9}}},
    },
    "notice": "Research software.",
    "novelty": {
        "measure": "residual",
        "dimensions": 768,
        "components": 32,
        "threshold": 0.5,
        "false_alarms": 0.02,
        "training": 1229,
        "validation": 308,
    },
    "format": 3,
}

shares = st.floats(0, 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
above_0 = st.floats(1e-6, 1e6)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(bool)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def labels(draw: st.DrawFn) -> tuple[contract.Label, ...]:
    found = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    positive = draw(st.integers(1, len(found)))  # the last: none is positive
    return tuple(contract.Label(i, name, i >= positive) for i, name in enumerate(found))


@st.composite
def decisions(draw: st.DrawFn) -> contract.Decision:
    thresholds = draw(st.dictionaries(names, shares, min_size=1, max_size=3))
    low, high = sorted(draw(st.tuples(shares, shares)))
    chosen = draw(st.sampled_from(list(thresholds)))
    band = (min(low, thresholds[chosen]), max(high, thresholds[chosen]))
    return contract.Decision(thresholds, chosen, band)


def _fit(terms: Contract) -> Contract:
    """Without positive classes the uncertain band begins at 0."""
    if terms.positive:
        return terms
    band = (0.0, terms.decision.uncertain_band[1])
    return dataclasses.replace(
        terms, decision=dataclasses.replace(terms.decision, uncertain_band=band)
    )


contracts = st.builds(
    Contract,
    model=st.builds(contract.Model, st.just("weights.npz"), texts, st.sampled_from(["keras"])),
    input=st.builds(
        contract.Input,
        height=st.integers(16, 4096),
        width=st.integers(16, 4096),
        colour=st.sampled_from(["rgb", "bgr"]),
        resize=st.sampled_from(["stretch", "pad", "crop"]),
        interpolation=st.sampled_from(["area", "linear"]),
        scale=above_0,
        offset=finite,
    ),
    labels=labels(),
    outputs=st.lists(st.builds(contract.Output, texts), min_size=1, max_size=3).map(
        lambda found: (*found, contract.Output("embedding", "embedding"))
    ),
    calibration=st.builds(contract.Calibration, st.floats(1e-3, 1e3)),
    decision=decisions(),
    quality=st.builds(contract.QualityLimits, st.integers(), finite, finite, finite, finite),
    provenance=st.builds(
        contract.Provenance,
        data=texts,
        licence=texts,
        weights=texts,
        made_up=st.booleans(),
        split=texts,
        recipe=texts,
        seed=st.integers(),
        versions=st.dictionaries(texts, texts, max_size=3),
        metrics=st.dictionaries(texts, json_values, max_size=3),
    ),
    novelty=st.none()
    | st.builds(
        contract.Novelty,
        measure=st.just("residual"),
        dimensions=st.integers(257, 1 << 14),
        components=st.integers(1, 256),
        threshold=st.floats(1e-7, 1e9),
        false_alarms=st.floats(1e-6, 0.5),
        training=st.integers(1),
        validation=st.integers(1),
    ),
    notice=texts,
).map(_fit)


def objects(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of the objects whose keys are fixed."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict):
        yield path
    for key, item in items:
        if isinstance(item, (dict, list)) and key not in FREE:
            yield from objects(item, (*path, key))


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of the values whose type is fixed."""
    if not isinstance(value, (dict, list)):
        yield path
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if key != "metrics":
            yield from leaves(item, (*path, key))


def at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(path: tuple, value: Any) -> str:
    data = copy.deepcopy(VALID)
    at(data, path[:-1])[path[-1]] = value
    return json.dumps(data)


def dotted(path: tuple) -> str:
    return ".".join(map(str, path)) or "top"


KEYS = [(*path, key) for path in objects(VALID) for key in at(VALID, path)]
LEAVES = list(leaves(VALID))


@given(contracts)
def test_a_contract_survives_its_own_json(terms: Contract):
    assert parse(terms.to_json()) == terms


def test_a_contract_is_saved_and_loaded(tmp_path: Path):
    terms = parse(json.dumps(VALID))
    terms.save(tmp_path / "contract.json")
    assert contract.load(tmp_path / "contract.json") == terms
    assert (terms.positive, terms.decision.threshold) == ((1,), 0.4)


@pytest.mark.parametrize("path", list(objects(VALID)), ids=dotted)
def test_an_unknown_key_is_an_error_at_every_level(path: tuple):
    with pytest.raises(BundleError, match=r"unknown keys \['surprise'\]"):
        parse(changed((*path, "surprise"), 1))


@pytest.mark.parametrize("path", KEYS, ids=dotted)
def test_a_missing_key_is_an_error_at_every_level(path: tuple):
    data = copy.deepcopy(VALID)
    del at(data, path[:-1])[path[-1]]
    with pytest.raises(BundleError, match=str(path[-1])):
        parse(json.dumps(data))


@pytest.mark.parametrize("wrong", [None, True, "text", 7, [], {}, float("nan")], ids=repr)
@pytest.mark.parametrize("path", LEAVES, ids=dotted)
def test_a_value_of_another_type_is_an_error(path: tuple, wrong: Any):
    kind = type(at(VALID, path))
    fits = type(wrong) is kind or (kind is float and type(wrong) is int)
    if fits and wrong == wrong:  # a rule, not the type, decides on those: see below
        return
    with pytest.raises(BundleError):
        parse(changed(path, wrong))


@pytest.mark.parametrize("path", KEYS, ids=dotted)
@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "1" * 400])
def test_what_json_can_not_hold_is_an_error_everywhere(path: tuple, wrong: str):
    text = changed(path, "HERE").replace('"HERE"', wrong)
    if wrong.isdigit() and path[-1] in ("seed", "min_side", "training", "validation"):
        return  # integers have no bounds
    with pytest.raises(BundleError):
        parse(text)


def test_nan_among_the_metrics_is_an_error_when_read_and_when_written():
    text = changed(("provenance", "metrics", "auc"), float("nan"))
    with pytest.raises(BundleError, match="not JSON"):
        parse(text)
    terms = parse(json.dumps(VALID))
    terms.provenance.metrics["auc"] = float("nan")  # type: ignore[index]
    with pytest.raises(BundleError, match="not a number"):
        terms.to_json()


@pytest.mark.parametrize("number", [0, 1, 2, 4, -1, "2", None, True, 1.5, [1], "x" * 100_000])
def test_an_unknown_format_number_is_an_error_that_says_what_to_do(number: Any):
    with pytest.raises(BundleError, match="expected contract format 3, found") as told:
        parse(changed(("format",), number))
    assert "Install the version of dermkit that wrote it" in str(told.value)
    assert len(str(told.value)) < 300
    assert told.value.exit_code == 5


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("input", "height"), 8, "between 16 and 4096"),
        (("input", "width"), 5000, "between 16 and 4096"),
        (("input", "colour"), "grey", "rgb or bgr"),
        (("input", "resize"), "squash", "stretch, pad or crop"),
        (("input", "interpolation"), "cubic", "area or linear"),
        (("input", "scale"), 0, "scale is above 0"),
        (("labels",), VALID["labels"][:1], "at least two"),
        (("labels", 1, "id"), 2, "numbered"),
        (("labels", 1, "name"), "benign", "different names"),
        (("labels", 1, "positive"), False, "without positive labels the uncertain band begins"),
        (("labels", 0, "positive"), True, "not all labels are positive"),
        (("labels", 0, "name"), "uncertain", "named like a decision"),
        (("labels", 1, "name"), "not assessable", "named like a decision"),
        (("outputs",), [], "first output"),
        (("outputs", 0, "kind"), "map", "first output"),
        (("calibration", "temperature"), -1, "temperature lies between"),
        (("calibration", "temperature"), 1e-320, "temperature lies between"),
        (("decision", "chosen_for"), "else", "one of the thresholds"),
        (("decision", "thresholds", "sensitivity>=0.90"), 1.1, "probabilities"),
        (("decision", "uncertain_band"), [0.5, 0.4], "low, high"),
        (("decision", "uncertain_band"), [0.41, 0.5], "holds the threshold"),
        (("decision", "uncertain_band"), [0.5], "expected 2 values, found 1"),
        (("outputs", 1, "kind"), "map", "needs an output of kind embedding"),
        (("novelty", "measure"), "energy", "measure is residual"),
        (("novelty", "components"), 0, "components lie between 1 and 256, below dimensions"),
        (("novelty", "components"), 257, "components lie between 1 and 256"),
        (("novelty", "dimensions"), 32, "components lie between 1 and 256, below dimensions"),
        (("novelty", "dimensions"), 2**14 + 1, "dimensions are 16384 at most"),
        (("novelty", "threshold"), 0, "threshold is at least"),
        (("novelty", "false_alarms"), 1, "between 0 and 1"),
        (("novelty", "training"), 0, "training and validation are above 0"),
        (("novelty", "validation"), -1, "training and validation are above 0"),
        (("model", "file"), "../model.tflite", "plain name"),
        (("model", "file"), "/etc/passwd", "plain name"),
        (("model", "file"), "..", "plain name"),
        (("model", "file"), ".", "plain name"),
        (("model", "file"), "", "plain name"),
    ],
)
def test_values_that_can_not_be_meant_are_refused(path: tuple, value: Any, rule: str):
    with pytest.raises(BundleError, match=rule):
        parse(changed(path, value))


def test_a_contract_may_do_without_novelty():
    terms = parse(changed(("novelty",), None))
    assert terms.novelty is None
    assert parse(terms.to_json()) == terms


@pytest.mark.parametrize("text", ["", "null", "[]", "1", '"x"', "{", "{}", "\0", "[" * 100_000])
def test_what_is_no_contract_at_all_is_refused(text: str):
    with pytest.raises(BundleError, match=r"contract\.json"):
        parse(text)


@pytest.mark.parametrize("depth", [50, 500, 900, 960, 980, 990, 5000])
@pytest.mark.parametrize("path", [("format",), ("input", "height"), ("provenance", "metrics", "x")])
def test_deep_nesting_is_a_contract_or_a_bundle_error(depth: int, path: tuple):
    text = changed(path, "HERE").replace('"HERE"', "[" * depth + "]" * depth)
    try:
        parse(text)
    except BundleError as error:
        assert len(str(error)) < 500  # noqa: PT017


@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda data: data.decode("latin-1")))
def test_random_text_is_refused(text: str):
    with pytest.raises(BundleError):
        parse(text)


@given(path=st.sampled_from([*KEYS, *LEAVES]), value=json_values)
@settings(max_examples=300)
def test_a_contract_with_anything_in_it_is_a_contract_or_a_bundle_error(path: tuple, value: Any):
    try:
        terms = parse(changed(path, value))
    except BundleError:
        return
    assert parse(terms.to_json()) == terms


@given(place=st.integers(0, 10_000), size=st.integers(0, 40), text=st.text(max_size=4))
@settings(max_examples=300)
def test_altered_text_is_a_contract_or_a_bundle_error(place: int, size: int, text: str):
    whole = json.dumps(VALID, indent=1)
    place %= len(whole)
    try:
        parse(whole[:place] + text + whole[place + size :])
    except BundleError:
        return


@pytest.mark.parametrize("data", [None, b"\xff\xfe{"])
def test_a_file_that_is_absent_or_not_utf8_is_a_bundle_error(tmp_path: Path, data: bytes | None):
    path = tmp_path / "contract.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BundleError, match="can't be read"):
        contract.load(path)


def test_the_contract_of_a_bundle_is_the_one_that_was_packed(tiny_bundles: tuple[Path, Path]):
    terms = open_bundle(tiny_bundles[0]).contract
    assert parse(terms.to_json()) == terms
