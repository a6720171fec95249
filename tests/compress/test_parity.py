"""On real photographs: Keras float against .tflite, Keras after QAT against int8 .tflite."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermcompress import convert, student
from dermcompress.fold import fold
from dermcompress.quantize import quantize_aware
from dermcompress.student import Student
from dermedge import table
from dermedge.contract import Contract, Input
from dermedge.decide import positive_probability
from dermedge.model import Classifier
from dermtrain import devices
from dermtrain.calibrate import calibrate
from dermtrain.dataset import Pixels, prepare_table, targets
from dermtrain.fit import Material, finished, fit, start
from dermtrain.history import History
from dermtrain.recipe import Phase, Recipe
from dermtrain.store import Store
from dermtrain.truth import Truth

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
SIZE, JUDGED = 96, 50


@pytest.fixture(scope="module")
def pixels(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """250 real photographs at 96 pixels, the last 50 of them to be judged."""
    whole = table.read(real_data / "isic2017")
    rows = [row for row in whole.rows if row.label == "malignant"][:100]
    rows += [row for row in whole.rows if row.label == "benign"][:150]
    order = np.random.default_rng(0).permutation(len(rows))
    splits = ["train"] * 160 + ["val"] * 40 + ["test"] * JUDGED
    chosen = tuple(replace(rows[i], split=split) for i, split in zip(order, splits, strict=True))
    cache = tmp_path_factory.mktemp("cache")
    return prepare_table(replace(whole, rows=chosen), Input(SIZE, SIZE), cache)


@pytest.fixture(scope="module")
def truth(pixels: Pixels) -> Truth:
    return Truth(targets(pixels.table, ("benign", "malignant")), (1,))


@pytest.fixture(scope="module")
def model(
    pixels: Pixels, truth: Truth, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> keras.Model:
    """ImageNet weights up to conv4, a head trained on these photographs."""
    source = real_data.parent / "weights" / "resnet50_imagenet_conv1-4_fp16.npz"
    how = Recipe("tests", phase=(Phase("transfer", views=1, patience=12),))
    fitted = start(2, str(source), how, devices.find(), seed=0)
    with Store(tmp_path_factory.mktemp("features"), 10**9) as store:
        fit(fitted, Material(pixels, truth, store), how, 0, History())
    return finished(fitted, SIZE)


@pytest.fixture(scope="module")
def folded(model: keras.Model) -> Student:
    return student.of(fold(model))


def by_keras(net: keras.Model, photographs: np.ndarray) -> np.ndarray:
    found = net.predict(photographs.astype(np.float32), batch_size=16, verbose=0)
    return found[0] if isinstance(found, list) else found


def by_runtime(file: bytes, photographs: np.ndarray, terms: Contract) -> np.ndarray:
    classifier = Classifier(file, replace(terms, input=Input(SIZE, SIZE)))
    return np.stack([classifier.scores(photograph[None]) for photograph in photographs])


def test_float_file_and_keras_agree_within_a_thousandth(
    model: keras.Model, folded: Student, pixels: Pixels, terms: Contract
) -> None:
    judged = pixels.values[pixels.rows("test")]
    file = convert.to_float(folded.watched())
    own, expected = by_runtime(file, judged, terms), by_keras(model, judged)
    own, expected = (positive_probability(x, 1.0, [1]) for x in (own, expected))
    assert len(own) == JUDGED
    assert np.ptp(expected) > 0.3
    assert np.abs(own - expected).max() < 1e-3


def test_int8_file_decides_as_the_quantization_aware_model(
    folded: Student, pixels: Pixels, truth: Truth, terms: Contract
) -> None:
    learnt, val = pixels.values[pixels.rows("train")], pixels.rows("val")
    aware = quantize_aware(folded, learnt[:64])
    calibration, rule = calibrate(by_keras(aware, pixels.values[val]), truth.of(val), seed=0)
    judged = pixels.values[pixels.rows("test")]
    found, simulated = by_runtime(convert.to_int8(aware), judged, terms), by_keras(aware, judged)
    assert len(np.unique(found[:, 1])) > 0.9 * JUDGED  # the ranking has not collapsed
    assert np.abs(found - simulated).mean() < 0.1 * simulated[:, 1].std()
    own, expected = (
        positive_probability(x, calibration.temperature, [1]) for x in (found, simulated)
    )
    differ = (own >= rule.threshold) != (expected >= rule.threshold)
    assert 0 < np.mean(own >= rule.threshold) < 1
    # conv5 of this net starts at random, so that many of its scores lie next to the threshold.
    assert np.count_nonzero(differ) <= 2
    assert (np.abs(expected - rule.threshold)[differ] < 0.02).all()
