from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from dermedge import contract, engine, tflite
from dermedge.bundle import Bundle, open_bundle
from dermedge.engine import Runtime
from dermedge.errors import BundleError, KitError, MissingError
from dermedge.model import Classifier, cores
from dermedge.prepare import prepare


@pytest.fixture(params=[0, 1], ids=["float", "int8"])
def tiny(request: pytest.FixtureRequest, tiny_bundles: tuple[Path, Path]) -> Bundle:
    return open_bundle(tiny_bundles[request.param])


def pictures(count: int = 5) -> list[np.ndarray]:
    return [(np.arange(48 * 48 * 3) * (3 + i) % (200 + i)).astype(np.uint8) for i in range(count)]


def with_input(terms: contract.Contract, **changes: object) -> contract.Contract:
    values = {name: getattr(terms, name) for name in terms.__slots__}
    return contract.Contract(**{**values, **changes})


class Raw:
    """The interpreter as its own manual drives it."""

    def __init__(self, data: bytes) -> None:
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
        self.interpreter = interpreter(model_content=data, num_threads=1)
        self.interpreter.allocate_tensors()

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        (entry,), (exit_,) = (
            self.interpreter.get_input_details(),
            self.interpreter.get_output_details(),
        )
        self.interpreter.set_tensor(entry["index"], pixels.astype(entry["dtype"]))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(exit_["index"])[0].copy()


class Fake:
    """An interpreter with one input and one output of chosen types, which gives `raw`."""

    dtype, quantization, raw = np.int8, (0.5, -3), np.array([[-128, 127]], np.int8)
    taken, taken_scale = np.uint8, (1.0, 0)

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        self.given: np.ndarray | None = None

    def allocate_tensors(self) -> None: ...

    def invoke(self) -> None: ...

    def get_input_details(self) -> list[dict]:
        return [self._tensor((1, 48, 48, 3), self.taken, self.taken_scale)]

    def get_output_details(self) -> list[dict]:
        return [self._tensor((1, 2), self.dtype, self.quantization)]

    def get_tensor_details(self) -> list[dict]:
        return [*self.get_input_details(), *self.get_output_details()]

    def get_tensor(self, index: int) -> np.ndarray:
        return self.raw

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        self.given = value

    def _tensor(self, shape: tuple, dtype: type, quantization: tuple) -> dict:
        return {
            "name": "t",
            "index": 0,
            "shape": np.array(shape),
            "dtype": dtype,
            "quantization": quantization,
        }


def faked(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> None:
    """Make `Fake` with these attributes the only runtime."""
    build = partial(tflite.Interpreter, type("Interpreter", (Fake,), attributes))
    monkeypatch.setattr(engine, "RUNTIMES", (Runtime("numpy", "numpy", lambda: build),))


def absent() -> engine.Build:
    raise ImportError


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_those_of_the_bare_interpreter(tiny: Bundle, threads: int):
    classifier, raw = Classifier(tiny.model, tiny.contract, threads), Raw(tiny.model)
    for pixels in pictures():
        pixels = pixels.reshape(1, 48, 48, 3)
        found = classifier.scores(prepare(pixels[0], tiny.contract.input))
        assert (found.dtype, found.shape) == (np.float32, (2,))
        np.testing.assert_allclose(found, raw.scores(pixels), rtol=1e-5, atol=1e-5)


def test_scores_of_one_photograph_outlive_the_next(tiny: Bundle):
    classifier = Classifier(tiny.model, tiny.contract, 1)
    first, second = (pixels.reshape(1, 48, 48, 3) for pixels in pictures(2))
    found = classifier.scores(first)
    kept = found.copy()
    classifier.scores(np.zeros_like(second))
    np.testing.assert_array_equal(found, kept)


def test_the_runtime_and_its_version_are_named(tiny: Bundle):
    name, _, version = Classifier(tiny.model, tiny.contract).runtime.partition(" ")
    assert version == metadata.version(name)


def test_all_cores_are_used_by_default(tiny: Bundle):
    assert Classifier(tiny.model, tiny.contract).threads == cores() >= 1


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(tiny: Bundle, threads: int):
    with pytest.raises(KitError, match="at least one thread"):
        Classifier(tiny.model, tiny.contract, threads)


@pytest.mark.parametrize(
    "changes",
    [
        {"input": contract.Input(64, 64)},
        {"input": contract.Input(48, 47)},
        {"labels": tuple(contract.Label(i, str(i), i > 0) for i in range(3))},
    ],
)
def test_a_contract_of_another_model_is_refused(tiny: Bundle, changes: dict):
    with pytest.raises(BundleError, match="model and contract disagree: expected"):
        Classifier(tiny.model, with_input(tiny.contract, **changes))


@pytest.mark.parametrize("data", [b"", b"garbage" * 100, b"\x1c\0\0\0TFL3" + bytes(200)])
def test_bytes_that_are_no_model_are_refused(tiny: Bundle, data: bytes):
    with pytest.raises(BundleError, match=r"can't run model\.tflite"):
        Classifier(data, tiny.contract)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_model_is_refused(tiny: Bundle, share: float):
    with pytest.raises(BundleError, match=r"can't run model\.tflite"):
        Classifier(tiny.model[: int(len(tiny.model) * share)], tiny.contract)


def test_no_runtime_at_all_says_what_to_install(tiny: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "RUNTIMES", (Runtime("none", "none", absent),))
    with pytest.raises(MissingError, match="pip install ai-edge-litert") as told:
        Classifier(tiny.model, tiny.contract)
    assert told.value.exit_code == 7


def test_the_first_runtime_that_is_installed_is_used(tiny: Bundle, monkeypatch: pytest.MonkeyPatch):
    known = (Runtime("none", "none", absent), *engine.RUNTIMES)
    monkeypatch.setattr(engine, "RUNTIMES", known)
    assert Classifier(tiny.model, tiny.contract).runtime.startswith("ai-edge-litert")


def test_quantised_scores_are_widened_before_they_are_scaled(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
):
    faked(monkeypatch)
    found = Classifier(b"fake", tiny.contract).scores(np.zeros((1, 48, 48, 3), np.uint8))
    assert found.dtype == np.float32
    assert found.tolist() == [(-128 + 3) * 0.5, (127 + 3) * 0.5]


@pytest.mark.parametrize(
    ("taken", "scale", "given", "expected"),
    [
        (np.uint8, (1.0, 0), np.uint8(7), 7),
        (np.int8, (1.0, -128), np.uint8(7), -121),
        (np.int8, (1.0, -128), np.uint8(255), 127),
        (np.uint8, (0.5, 10), np.float32(3.0), 16),
        (np.int8, (0.01, 0), np.float32(9.0), 127),
        (np.int8, (0.01, 0), np.float32(-9.0), -128),
        (np.float32, (0.0, 0), np.uint8(7), 7.0),
    ],
)
def test_pixels_are_expressed_in_the_type_of_the_input_tensor(
    tiny: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    taken: type,
    scale: tuple[float, int],
    given: np.generic,
    expected: float,
):
    faked(monkeypatch, taken=taken, taken_scale=scale)
    classifier = Classifier(b"fake", tiny.contract)
    classifier.scores(np.full((1, 48, 48, 3), given))
    seen = classifier._engine._interpreter.given  # type: ignore[attr-defined]
    assert seen.dtype == taken
    assert set(np.unique(seen).tolist()) == {expected}


@pytest.mark.parametrize(
    "attributes",
    [
        {"dtype": np.int64, "quantization": (0.0, 0), "raw": np.array([[0, 1]])},
        {"taken": np.int32, "taken_scale": (0.0, 0)},
    ],
)
def test_integers_without_a_scale_are_refused(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, attributes: dict
):
    faked(monkeypatch, **attributes)
    with pytest.raises(BundleError, match="without a scale"):
        Classifier(b"fake", tiny.contract)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_never_passed_on(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, bad: float
):
    raw = np.array([[0, bad]], np.float32)
    faked(monkeypatch, dtype=np.float32, quantization=(0.0, 0), raw=raw)
    with pytest.raises(BundleError, match="no numbers"):
        Classifier(b"fake", tiny.contract).scores(np.zeros((1, 48, 48, 3), np.uint8))
