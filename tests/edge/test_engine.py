"""The runtimes behind one seam: what each gives, against LiteRT on the same file."""

import copy
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dermedge import engine, openvino
from dermedge.contract import Contract, Output
from dermedge.errors import BundleError, MissingError
from dermedge.model import Classifier, Outputs, runtimes
from dermedge.prepare import prepare

FIXTURES = Path(__file__).parents[1] / "fixtures"
WHOLE = (Output("scores"), Output("map", "map"), Output("embedding", "embedding"))
LITERT = "ai-edge-litert"


@pytest.fixture
def whole(terms: Contract) -> Contract:
    """The contract of the tiny models that also give a map and an embedding."""
    return dataclasses.replace(terms, outputs=WHOLE)


@pytest.fixture(params=[one.distribution for one in engine.RUNTIMES])
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param not in runtimes():
        pytest.skip(f"{request.param} is not installed")
    return request.param


def model(name: str) -> bytes:
    return (FIXTURES / f"{name}.tflite").read_bytes()


def pictures(count: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 130 + 25 * i, (60, 70, 3)).astype(np.uint8) for i in range(count)]


def largest(one: Outputs, two: Outputs, name: str) -> float:
    """Largest difference of one output."""
    first, second = getattr(one, name), getattr(two, name)
    assert (first.shape, first.dtype) == (second.shape, second.dtype)
    return float(np.abs(first - second).max())


# Processors and runtimes round int8 values differently: two steps, of 0.02 in these models.
@pytest.mark.parametrize(
    ("name", "bound"), [("whole_float", 1e-5), ("whole_int8", 0.045), ("whole_quantized", 0.045)]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_runtime_gives_what_litert_gives(
    runtime: str, whole: Contract, name: str, bound: float, threads: int
):
    data = model(name)
    reference = Classifier(data, whole, 1, LITERT)
    other = Classifier(data, whole, threads, runtime)
    assert other.runtime.partition(" ")[0] == runtime
    for picture in pictures():
        prepared = prepare(picture, whole.input)
        one, two = reference.run(prepared), other.run(prepared)
        assert one.map is not None
        assert one.map.shape == (12, 12, 2)
        for output in ("scores", "map", "embedding"):
            assert largest(one, two, output) <= bound, output


def test_what_a_runtime_gave_outlives_its_next_run(runtime: str, whole: Contract):
    classifier = Classifier(model("whole_float"), whole, 1, runtime)
    first, second = (prepare(picture, whole.input) for picture in pictures(2))
    found = classifier.run(first)
    kept = copy.deepcopy(found)
    classifier.run(second)
    assert largest(kept, found, "scores") == largest(kept, found, "map") == 0
    assert largest(kept, found, "embedding") == 0


@pytest.mark.parametrize("data", [b"", b"garbage" * 100, model("tiny_int8")[:2000]])
def test_no_runtime_takes_what_is_no_model(runtime: str, terms: Contract, data: bytes):
    if runtime == "tflite-runtime" and data[4:8] == b"TFL3":
        pytest.skip(
            "tflite-runtime 2.14 dies of a cut-off file; a bundle's checksum finds it first"
        )
    with pytest.raises(BundleError, match=rf"{runtime} .* can't run model\.tflite: .") as told:
        Classifier(data, terms, 1, runtime)
    assert "\n" not in str(told.value)


def test_the_default_runtime_is_litert():
    assert runtimes()[0] == LITERT
    assert engine.find()[1].startswith(LITERT)


def test_an_unknown_runtime_is_told_with_those_that_there_are():
    with pytest.raises(MissingError, match="no runtime torch; there are ai-edge-litert, tflite-"):
        engine.find("torch")


def test_a_runtime_that_is_not_installed_is_told_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "openvino", None)  # type: ignore[arg-type]
    with pytest.raises(MissingError, match="openvino is not installed; run: pip install openvino"):
        engine.find("openvino")


def test_openvino_runs_without_its_reports_and_leaves_nothing_in_the_home(tmp_path: Path):
    if "openvino" not in runtimes():
        pytest.skip("openvino is not installed")
    code = (
        "import sys; from dermedge import engine\n"
        "build, _ = engine.find('openvino')\n"
        "build(open(sys.argv[1], 'rb').read(), 1)\n"
        "loaded = [name for name in sys.modules if name.startswith('openvino_telemetry.')]\n"
        "print(loaded, sys.modules['openvino_telemetry'])"
    )
    place = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(FIXTURES / "tiny_float.tflite")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **place},
    )
    assert done.stdout.strip() == "[] None"
    assert list(tmp_path.iterdir()) == []


def test_the_gist_of_an_openvino_exception_is_one_line():
    raw = "Exception from src/a.cpp:105:\nException from src/b.cpp:188:\n No such operation:\n X\n"
    assert openvino._gist(raw) == "No such operation: X"
    assert openvino._gist("Exception from src/a.cpp:105:") == "Exception from src/a.cpp:105:"
