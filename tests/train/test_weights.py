"""Weight files: what fills which layer, what stays at random, what is refused."""

import socket
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from dermedge.errors import InputError, Interrupted, MissingError
from dermtrain import backbone, weights

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """The smallest full net; tests fill it again and again."""
    return backbone.build(32, 2)


@pytest.fixture(scope="module")
def stranger() -> keras.Model:
    """A net with other weights of the same shape."""
    keras.utils.set_random_seed(7)
    return backbone.build(32, 2)


@pytest.fixture(scope="module")
def base() -> keras.Model:
    """Keras' own net, without a head."""
    keras.utils.set_random_seed(8)
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """An empty home and no network; the addresses that were tried."""
    tried = []

    def refuse(address: tuple, **_: object) -> None:
        tried.append(address)
        raise OSError("network is unreachable")

    def download(*_: object, **__: object) -> None:
        pytest.fail("a download was begun")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(keras.utils, "get_file", download)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tried


def _same(model: keras.Model, other: keras.Model, name: str) -> bool:
    pairs = zip(
        model.get_layer(name).get_weights(), other.get_layer(name).get_weights(), strict=True
    )
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_saved_model_is_read_back_whole(
    model: keras.Model, stranger: keras.Model, tmp_path: Path
) -> None:
    weights.save(stranger, tmp_path / "w.npz")
    filled = weights.fill(model, str(tmp_path / "w.npz"))
    assert filled.random == ()
    assert all(_same(model, stranger, layer.name) for layer in model.layers)
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


def test_legacy_keras_h5_fills_by_name(
    model: keras.Model, base: keras.Model, tmp_path: Path
) -> None:
    base.save_weights(tmp_path / "keras.h5")
    filled = weights.fill(model, str(tmp_path / "keras.h5"))
    assert filled.random == ("head",)
    assert all(_same(model, base, name) for name in filled.filled)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_h5_of_a_whole_trained_model_gives_its_weights_not_the_optimizers_moments(
    model: keras.Model, tmp_path: Path
) -> None:
    trained = keras.Sequential([keras.layers.Conv2D(64, 7, name="conv1_conv")])
    trained.compile("adam", "mse")
    trained.train_on_batch(np.ones((1, 8, 8, 3)), np.zeros((1, 2, 2, 64)))
    trained.save(tmp_path / "trained.h5", save_format="h5")
    assert weights.fill(model, str(tmp_path / "trained.h5")).filled == ("conv1_conv",)
    assert _same(model, trained, "conv1_conv")


def test_partial_file_says_what_it_filled_and_what_starts_at_random(
    model: keras.Model, weight_file: Path
) -> None:
    before = model.get_layer("conv5_block2_2_conv").get_weights()
    filled = weights.fill(model, str(weight_file))
    assert {backbone.stage_of(n) for n in filled.filled} == {"conv1", "conv2", "conv3", "conv4"}
    assert {backbone.stage_of(n) for n in filled.random} == {"conv5", "head"}
    np.testing.assert_equal(model.get_layer("conv5_block2_2_conv").get_weights(), before)
    assert str(filled).endswith("; at random: conv5 (20), head (1)")
    assert "conv1 (2), conv2 (20), conv3 (26), conv4 (38)" in str(filled)


def test_float16_kernels_are_widened_and_absent_biases_are_zero(
    model: keras.Model, tmp_path: Path
) -> None:
    kernel = np.random.default_rng(0).normal(0, 0.1, (7, 7, 3, 64)).astype(np.float16)
    np.savez(tmp_path / "half.npz", **{"conv1_conv/kernel": kernel})  # type: ignore[arg-type]
    filled = weights.fill(model, str(tmp_path / "half.npz"))
    found, bias = model.get_layer("conv1_conv").get_weights()
    assert filled.filled == ("conv1_conv",)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, kernel.astype(np.float32))
    np.testing.assert_array_equal(bias, np.zeros(64))


def test_layer_of_another_shape_keeps_its_random_start(model: keras.Model, tmp_path: Path) -> None:
    before = model.get_layer("head").get_weights()
    arrays = {"head/kernel": np.ones((1, 1, 2048, 7)), "head/bias": np.ones(7)}
    good = {"conv1_conv/kernel": np.ones((7, 7, 3, 64))}
    np.savez(tmp_path / "w.npz", **arrays, **good)  # type: ignore[arg-type]
    assert "head" in weights.fill(model, str(tmp_path / "w.npz")).random
    np.testing.assert_equal(model.get_layer("head").get_weights(), before)


def test_none_fills_nothing(model: keras.Model) -> None:
    before = model.get_layer("conv3_block1_1_conv").get_weights()
    filled = weights.fill(model, "none")
    assert filled.filled == ()
    assert "normalise" not in filled.random
    assert str(filled).startswith("none: filled nothing; at random: conv1 (2)")
    np.testing.assert_equal(model.get_layer("conv3_block1_1_conv").get_weights(), before)


def _pickled(path: Path) -> None:
    np.savez(path, **{"conv1_conv/kernel": np.array([{"an": "object"}], dtype=object)})  # type: ignore[arg-type]


def _single_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


def _cut_off(path: Path) -> None:
    np.savez(path, **{"conv1_conv/kernel": np.zeros((7, 7, 3, 64))})  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:5000])


REFUSED = {
    "nothing fits": ("other.npz", lambda p: np.savez(p, **{"dense/kernel": np.ones((2, 2))})),  # type: ignore[arg-type]
    "pickled objects": ("pickled.npz", _pickled),
    "a single array": ("array.npz", _single_array),
    "cut off": ("cut.npz", _cut_off),
    "empty": ("empty.npz", lambda p: p.write_bytes(b"")),
    "text for npz": ("text.npz", lambda p: p.write_text("hello")),
    "text for h5": ("text.h5", lambda p: p.write_text("hello")),
    "absent": ("absent.npz", lambda p: None),
    "unknown suffix": ("weights.pth", lambda p: p.write_bytes(b"PK")),
    "a folder": ("folder.npz", Path.mkdir),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_file_that_is_no_weight_file_is_refused_by_name(
    model: keras.Model, tmp_path: Path, fault: str
) -> None:
    name, make = REFUSED[fault]
    make(tmp_path / name)
    with pytest.raises(InputError, match=name):
        weights.fill(model, str(tmp_path / name))


def test_imagenet_is_the_file_that_keras_applications_takes() -> None:
    from tf_keras.src.applications import resnet  # not public, hence a test and no import

    assert f"{resnet.BASE_WEIGHTS_PATH}{weights.IMAGENET}" == weights.IMAGENET_URL
    assert resnet.WEIGHTS_HASHES["resnet50"][1] == weights.IMAGENET_MD5


def test_imagenet_offline_fails_at_once_and_says_what_to_copy_where(
    model: keras.Model, offline: list[tuple], tmp_path: Path
) -> None:
    with pytest.raises(MissingError, match=weights.IMAGENET) as caught:
        weights.fill(model, "imagenet")
    assert len(offline) == 1
    assert str(tmp_path / ".keras" / "models") in str(caught.value)
    assert "--weights PATH" in str(caught.value)


def test_imagenet_file_on_this_machine_needs_no_network(
    model: keras.Model, base: keras.Model, offline: list[tuple], tmp_path: Path
) -> None:
    (tmp_path / ".keras" / "models").mkdir(parents=True)
    base.save_weights(tmp_path / ".keras" / "models" / weights.IMAGENET)
    assert weights.fill(model, "imagenet").random == ("head",)
    assert offline == []


def test_interrupted_download_stays_an_interruption(
    model: keras.Model, offline: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted("stopped")

    monkeypatch.setattr(socket, "create_connection", interrupt)
    with pytest.raises(Interrupted):
        weights.fill(model, "imagenet")


def test_the_real_partial_file_fills_everything_up_to_conv4(
    model: keras.Model, real_data: Path
) -> None:
    path = real_data.parent / "weights" / "resnet50_imagenet_conv1-4_fp16.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    filled = weights.fill(model, str(path))
    assert {backbone.stage_of(n) for n in filled.filled} == {"conv1", "conv2", "conv3", "conv4"}
    assert {backbone.stage_of(n) for n in filled.random} == {"conv5", "head"}
    count = sum(w.shape.num_elements() for n in filled.filled for w in model.get_layer(n).weights)
    assert count == 8_589_184  # as its README says
