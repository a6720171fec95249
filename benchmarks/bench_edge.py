"""What stands around the model: prepare, the folder loop, and the command's own start."""

import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dermedge import answer, image, quality
from dermedge.bundle import Bundle
from dermedge.contract import Input
from dermedge.diagnose import Diagnostician
from dermedge.prepare import prepare, view


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_prepare(benchmark: BenchmarkFixture, pixels: list[np.ndarray], resize: str) -> None:
    """Photograph to input array, 299 x 299."""
    benchmark.group = "prepare"
    images, spec = cycle(pixels), Input(299, 299, resize=resize)
    benchmark(lambda: prepare(next(images), spec))


def test_quality(benchmark: BenchmarkFixture, pixels: list[np.ndarray]) -> None:
    """The quality gate, on what `prepare` has made ready."""
    benchmark.group = "prepare"
    images = cycle([(each, view(each, Input(299, 299))) for each in pixels])
    benchmark(lambda: quality.measure(*next(images)))


def test_folder_by_the_bare_interpreter(
    benchmark: BenchmarkFixture, small: Bundle, photographs: list[Path]
) -> None:
    """The peer: decode, resize, invoke, in a plain loop on the raw interpreter."""
    import cv2
    from ai_edge_litert.interpreter import Interpreter

    from dermedge.model import cores

    benchmark.group = "a folder of 32 photographs"
    interpreter = Interpreter(model_content=small.model, num_threads=cores())
    interpreter.allocate_tensors()
    (given,), (scores, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    side = small.contract.input.height

    def loop() -> None:
        for path in photographs:
            bgr = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
            assert bgr is not None
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            resized = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
            interpreter.set_tensor(given["index"], resized[None])
            interpreter.invoke()
            interpreter.get_tensor(scores["index"])

    benchmark.pedantic(loop, rounds=8, warmup_rounds=1)


def test_folder_by_kit_diagnose(
    benchmark: BenchmarkFixture, small: Bundle, photographs: list[Path]
) -> None:
    """The same through the loop of `kit diagnose FOLDER --json`, its lines included."""
    benchmark.group = "a folder of 32 photographs"
    doctor = Diagnostician(small)

    def loop() -> None:
        for path, found in doctor.diagnose_files(photographs):
            answer.as_json(path, found, doctor.contract)

    benchmark.pedantic(loop, rounds=8, warmup_rounds=1)


@pytest.mark.parametrize(
    "command", [["-c", "pass"], ["-m", "dermedge", "--help"]], ids=["python -c pass", "kit --help"]
)
def test_start(benchmark: BenchmarkFixture, command: list[str]) -> None:
    """How long a user waits for help, beside Python's own start."""
    benchmark.group = "start"
    run = [sys.executable, *command]
    benchmark.pedantic(
        subprocess.run, (run,), {"check": True, "capture_output": True}, rounds=15, warmup_rounds=2
    )


def test_image_read(benchmark: BenchmarkFixture, photographs: list[Path]) -> None:
    """Decoding one JPEG file."""
    benchmark.group = "prepare"
    files = cycle(photographs)
    benchmark(lambda: image.read(next(files)))
