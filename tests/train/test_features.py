"""What lies at the freeze boundary: the frozen part on mirrored pixels, computed once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermtrain import backbone, features
from dermtrain.dataset import Pixels

pytestmark = pytest.mark.tensorflow

BOUNDARY = "conv2_block3_out"
FLIPS = {0: (), 1: (2,), 2: (1,), 3: (1, 2)}  # which axes of a batch a view reverses


@pytest.fixture(scope="module")
def few(prepared: Pixels) -> Pixels:
    """The first six photographs."""
    return replace(prepared, values=prepared.values[:6])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def extracted(net: keras.Model, few: Pixels, cache: Path) -> features.Features:
    return features.extract(net, BOUNDARY, few, 4, cache)


@pytest.mark.parametrize("view", FLIPS)
def test_each_view_is_the_frozen_part_on_the_mirrored_pixels(
    net: keras.Model, few: Pixels, extracted: features.Features, view: int
) -> None:
    mirrored = np.flip(few.values, FLIPS[view]).astype(np.float32)
    expected = backbone.below(net, BOUNDARY)(mirrored).numpy()
    found = extracted.take(np.arange(6), view)
    assert extracted.values.dtype == np.float16
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("view", FLIPS)
def test_at_the_pixels_views_are_mirrored_as_they_are_read(
    net: keras.Model, few: Pixels, tmp_path: Path, view: int
) -> None:
    found = features.extract(net, backbone.PIXELS, few, 4, tmp_path)
    rows = np.array([4, 1])
    np.testing.assert_array_equal(found.take(rows, view), np.flip(few.values[rows], FLIPS[view]))
    assert found.values is few.values  # no copy in memory, none on disk
    assert list(tmp_path.iterdir()) == []


def test_second_call_computes_nothing(
    net: keras.Model, few: Pixels, extracted: features.Features, cache: Path
) -> None:
    told: list[tuple] = []
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = features.extract(net, BOUNDARY, few, 4, cache, lambda *step: told.append(step))
    np.testing.assert_array_equal(again.values, extracted.values)
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


@pytest.mark.parametrize("change", ["weights", "views", "photographs"])
def test_what_changes_the_features_has_them_computed_anew(
    net: keras.Model, few: Pixels, extracted: features.Features, cache: Path, change: str
) -> None:
    views, pixels = 4, few
    layer = net.get_layer("conv1_bn")
    kept = layer.get_weights()
    if change == "weights":
        layer.set_weights([kept[0] * 2, *kept[1:]])
    elif change == "views":
        views = 1
    else:
        pixels = replace(few, values=few.values[:, ::-1], key="another")
    before = set(cache.iterdir())
    try:
        found = features.extract(net, BOUNDARY, pixels, views, cache)
    finally:
        layer.set_weights(kept)
    assert len(set(cache.iterdir()) - before) == 1
    assert found.values.shape[0] == views
    assert change == "views" or not np.array_equal(found.values, extracted.values)


def test_interrupted_extraction_leaves_no_file(
    net: keras.Model, few: Pixels, tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.extract(net, BOUNDARY, few, 1, tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_activations_beyond_float16_are_clipped_and_not_infinite(tmp_path: Path) -> None:
    image = keras.Input((2, 2, 3), name=backbone.PIXELS)
    loud = keras.Model(image, keras.layers.Rescaling(1e6, name="loud")(image))
    pixels = Pixels(None, np.full((1, 2, 2, 3), 200, np.uint8), (), "key")  # type: ignore[arg-type]
    assert features.extract(loud, "loud", pixels, 1, tmp_path).values.max() == 65504


def test_predict_gives_the_models_own_outputs_whatever_the_batch(
    net: keras.Model, prepared: Pixels
) -> None:
    rows = np.array([39, 0, *range(5, 38)])  # more than one batch, not in order
    found = features.predict(net, features.Features(prepared.values, 1), rows)
    expected = net(prepared.values[rows].astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
