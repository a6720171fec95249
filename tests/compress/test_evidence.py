"""The heat map of a converted model: as in training, and what its scores say."""

from dataclasses import replace

import numpy as np
import pytest

from dermcompress import convert
from dermcompress.quantize import quantize_aware
from dermcompress.slim import Seen
from dermcompress.student import Student
from dermedge import heatmap
from dermedge.contract import Contract, Input, Label
from dermedge.decide import positive_probability
from dermedge.model import Classifier, Outputs
from dermtrain.explain.maps import evidence_map

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", params=["float", "int8"])
def seen(request: pytest.FixtureRequest, teacher: Student, toys: Seen, terms: Contract) -> list:
    """What the runtime gives for some pictures: `Outputs`."""
    if request.param == "float":
        file = convert.to_float(teacher.watched())
    else:
        file = convert.to_int8(quantize_aware(teacher, toys.pixels[:64]))
    side = toys.pixels.shape[1]
    own = replace(terms, input=Input(side, side), outputs=convert.outputs(whole=True))
    classifier = Classifier(file, own, threads=1)
    return [classifier.run(picture[None]) for picture in toys.pixels[:16]]


def test_the_mean_of_the_evidence_is_the_log_odds_that_decide(
    seen: list[Outputs], terms: Contract
) -> None:
    for outputs in seen:
        p = positive_probability(outputs.scores, 1.0, terms.positive)
        evidence = heatmap.evidence(outputs, terms)
        assert evidence is not None
        assert evidence.mean() == pytest.approx(np.log(p / (1 - p)), rel=1e-3, abs=1e-3)


def test_it_is_the_map_that_training_explains(seen: list[Outputs], terms: Contract) -> None:
    for outputs in seen:
        assert outputs.map is not None
        found = heatmap.evidence(outputs, terms)
        assert found is not None
        np.testing.assert_allclose(found, evidence_map(outputs.map, terms.positive), atol=1e-5)


@pytest.mark.parametrize("positive", [(0,), (1, 3), (0, 2, 4)])
def test_so_it_is_of_several_classes(positive: tuple[int, ...], terms: Contract) -> None:
    maps = np.random.default_rng(0).normal(0, 3, (6, 4, 5)).astype(np.float32)
    labels = tuple(Label(i, f"class {i}", i in positive) for i in range(5))
    found = heatmap.evidence(Outputs(maps.mean((0, 1)), maps), replace(terms, labels=labels))
    assert found is not None
    np.testing.assert_allclose(found, evidence_map(maps, positive), atol=1e-5)
