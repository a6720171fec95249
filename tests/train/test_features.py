"""What lies at the freeze boundary: the frozen part on a view's pixels, computed once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermedge.errors import StorageError
from dermtrain import backbone, features
from dermtrain.augment import Augment
from dermtrain.dataset import Pixels
from dermtrain.store import Store
from dermtrain.views import Views

pytestmark = pytest.mark.tensorflow

BOUNDARIES = ("conv2_block3_out", "conv3_block2_out", "conv4_block6_out")
ROWS = np.array([1, 2, 5])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", 10**9) as store:
        yield store


@pytest.fixture(scope="module")
def views(prepared: Pixels) -> Views:
    return Views(prepared, Augment(side=48), seed=3)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("view", [0, 2])
def test_features_are_the_frozen_part_on_the_views_pixels(
    net: keras.Model, views: Views, store: Store, boundary: str, view: int
) -> None:
    frozen = backbone.below(_any_size(net), boundary)
    expected = frozen(views.of(view)[ROWS].astype(np.float32)).numpy()
    found = features.extract(_any_size(net), boundary, views, view, ROWS, store)
    np.testing.assert_allclose(
        found[ROWS[::-1]].astype(np.float32), expected[::-1], rtol=4e-3, atol=4e-3
    )


def test_at_the_pixels_nothing_is_computed_and_nothing_stored(
    net: keras.Model, views: Views, store: Store
) -> None:
    found = features.extract(net, backbone.PIXELS, views, 0, ROWS, store)
    np.testing.assert_array_equal(found[ROWS], views.pixels.values[ROWS])
    assert not store.folder.exists()


def test_second_call_computes_nothing_and_any_change_computes_anew(
    net: keras.Model, views: Views, store: Store
) -> None:
    model, told = _any_size(net), []

    def extract(views: Views = views, view: int = 1, rows: np.ndarray = ROWS) -> bool:
        told.clear()
        features.extract(
            model, BOUNDARIES[0], views, view, rows, store, lambda *step: told.append(step)
        )
        return bool(told)

    assert extract()
    assert not extract()
    assert extract(view=0)
    assert extract(rows=ROWS[:2])
    assert extract(replace(views, seed=4))
    assert not extract(replace(views, seed=4), view=0)  # the photographs as they are need no seed
    assert extract(replace(views, how=Augment()))
    assert extract(replace(views, pixels=replace(views.pixels, key="other")))
    layer = model.get_layer("conv1_bn")
    kept = layer.get_weights()
    layer.set_weights([kept[0] * 2, *kept[1:]])
    assert extract()
    layer.set_weights(kept)
    model.get_layer("conv5_block1_1_bn").set_weights(
        [2 * w for w in model.get_layer("conv5_block1_1_bn").get_weights()]
    )
    assert not extract()  # what lies above the boundary does not matter


def test_interrupted_extraction_leaves_no_file(
    net: keras.Model, views: Views, store: Store
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.extract(_any_size(net), BOUNDARIES[0], views, 0, ROWS, store, interrupt)
    assert not list(store.folder.rglob("*.npy"))


def test_features_that_pass_the_limit_are_refused(
    net: keras.Model, views: Views, tmp_path: Path
) -> None:
    with Store(tmp_path / "small", 1000) as store, pytest.raises(StorageError, match="needed"):
        features.extract(_any_size(net), BOUNDARIES[0], views, 0, ROWS, store)


def test_activations_beyond_float16_are_clipped_and_not_infinite() -> None:
    found = features.half(np.array([1e6, -1e6, 1.0], np.float32))
    np.testing.assert_array_equal(found, np.array([65504, -65504, 1], np.float16))


def test_predict_gives_the_models_own_outputs_whatever_the_batch(
    net: keras.Model, prepared: Pixels
) -> None:
    rows = np.array([39, 0, *range(5, 38)])  # more than one batch, not in order
    found = features.predict(net, prepared.values, rows)
    expected = net(prepared.values[rows].astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_views_do_not_depend_on_who_else_is_asked_for(views: Views) -> None:
    many = views.of(1)[np.arange(6)]
    np.testing.assert_array_equal(views.of(1)[np.array([4])][0], many[4])
    assert many.shape == (6, 48, 48, 3)
    assert not np.array_equal(many, views.of(2)[np.arange(6)])


def _any_size(net: keras.Model) -> keras.Model:
    """The net without a fixed input size, as training builds it."""
    model = backbone.build(None, 2)
    model.set_weights(net.get_weights())
    return model
