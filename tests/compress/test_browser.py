"""The tiny models in LiteRT.js, the runtime of browsers, in a headless Chromium."""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

pytestmark = pytest.mark.tensorflow

from dermcompress import opset, probe_browser, probe_opset
from dermcompress.probe_browser import Chromium
from dermedge.contract import Contract
from dermedge.decide import decide, positive_probability
from dermedge.errors import MissingError

FIXTURES = Path(__file__).parent.parent / "fixtures"
VERSION = "2.5.3"
PACKAGES = [f"@litertjs/{each}@{VERSION}" for each in ("core", "wasm-utils")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where npm has put LiteRT.js; skipped without npm or its registry, under CI too."""
    if shutil.which("chromium") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: .ci/run installs it")
        pytest.skip("no chromium")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm")
    found = tmp_path_factory.mktemp("litertjs")
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", found]
    done = subprocess.run([npm, "install", *flags, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm can't reach its registry: {done.stderr.strip()[-500:]}")
    return found


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Chromium]:
    with probe_browser.opened(folder) as found:
        yield found


@pytest.fixture(scope="module")
def probes() -> dict[str, list[str]]:
    """For every operation a file of each version, as base64."""
    return probe_opset._files()


@pytest.mark.parametrize("name", ["tiny_float", "tiny_int8", "whole_float", "whole_int8"])
def test_a_browser_scores_and_decides_as_the_runtime_of_python_does(
    browser: Chromium, terms: Contract, name: str
):
    model = (FIXTURES / f"{name}.tflite").read_bytes()
    runner = Interpreter(model_content=model).get_signature_runner()
    ((entry, details),) = runner.get_input_details().items()
    noise = np.random.default_rng(4).integers(0, 256, details["shape"])
    for brightness in (0.2, 0.6, 1.0):
        value = (noise * brightness).astype(details["dtype"])
        wanted = runner(**{entry: value})
        answer = browser.ask(model, value)
        assert answer.refusal == ""
        assert answer.outputs.keys() == wanted.keys()
        for output, values in wanted.items():
            np.testing.assert_allclose(answer.outputs[output], values, rtol=1e-5, atol=1e-5)
        scores = "scores" if "scores" in wanted else "output_0"
        here, there = (
            float(positive_probability(each[scores][0], terms.calibration.temperature, [1]))
            for each in (wanted, answer.outputs)
        )
        assert abs(here - there) < 1 / 256
        assert decide(here, terms.decision) is decide(there, terms.decision)


def test_int8_at_the_ends_of_a_file_is_no_type_of_a_browser(browser: Chromium):
    answer = browser.ask((FIXTURES / "whole_quantized.tflite").read_bytes())
    assert "Element type INT8 is not supported" in answer.refusal


def test_a_browser_still_answers_after_many_refusals(browser: Chromium, probes: dict):
    unknown = base64.b64decode(probes["STABLEHLO_SORT"][0])
    assert all("Didn't find op" in browser.ask(unknown).refusal for _ in range(230))
    assert browser.ask((FIXTURES / "tiny_int8.tflite").read_bytes()).refusal == ""


def test_what_is_stored_is_what_a_browser_answers(
    folder: Path, probes: dict, monkeypatch: pytest.MonkeyPatch
):
    # Among them one that begins at version 2, and one that no runtime knows.
    names = ("ADD", "BROADCAST_TO", "CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED", "STABLEHLO_SORT")
    monkeypatch.setattr(probe_opset, "_files", lambda: {name: probes[name] for name in names})
    ((runtime, highest),) = probe_opset.measure_browser(folder).items()
    stored = opset.known()[runtime]
    assert highest == {name: stored[name] for name in names if name in stored}
    assert len(highest) == len(names) - 1


def test_a_folder_without_the_runtime_is_refused(tmp_path: Path):
    with pytest.raises(MissingError, match="npm install"):
        probe_browser.name(tmp_path)
