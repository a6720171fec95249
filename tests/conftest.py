"""What every test may ask for: the real photographs, tiny bundles, a made-up photograph."""

import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from dermedge import bundle, contract, golden, novelty
from dermedge.bundle import Bundle
from dermedge.model import Classifier
from dermedge.prepare import prepare

HERE = Path(__file__).parent
# No test is timed: a machine that has other work is slow, not wrong.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real lesion photographs; skipped without it, but failed under CI."""
    folder = Path(os.environ.get("KIT_REAL_DATA") or HERE.parent.parent / "shared" / "data")
    if not (folder / "isic2017" / "labels.csv").is_file():
        reason = f"no photographs in {folder}: set KIT_REAL_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def terms() -> contract.Contract:
    """The contract of the tiny models in tests/fixtures."""
    return contract.Contract(
        model=contract.Model("model.tflite", "0" * 64, "tflite"),
        input=contract.Input(48, 48),
        labels=(contract.Label(0, "benign", False), contract.Label(1, "malignant", True)),
        outputs=(contract.Output("logits"),),
        calibration=contract.Calibration(1.5),
        decision=contract.Decision({"sensitivity>=0.90": 0.4}, "sensitivity>=0.90", (0.38, 0.42)),
        quality=contract.QualityLimits(),
        provenance=contract.Provenance(
            data="random pixels",
            licence="CC0-1.0",
            made_up=True,
            split="none",
            weights="by hand",
            recipe="tests",
            seed=0,
            versions={},
            metrics={},
        ),
    )


@pytest.fixture(scope="session")
def tiny_bundles(
    tmp_path_factory: pytest.TempPathFactory, terms: contract.Contract
) -> tuple[Path, Path]:
    """float.kit and small.kit of the tiny model."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, model in (("float", "tiny_float"), ("small", "tiny_int8")):
        data = (HERE / "fixtures" / f"{model}.tflite").read_bytes()
        bundle.pack(folder / f"{name}.kit", terms, data, "# Tiny\n\nmade-up\n")
    return folder / "float.kit", folder / "small.kit"


@pytest.fixture(scope="session")
def watched(terms: contract.Contract, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny model that gives an embedding; novelty is fitted on made-up photographs."""
    model = (HERE / "fixtures" / "whole_float.tflite").read_bytes()
    outputs = [contract.Output(*each) for each in (("scores",), ("map",) * 2, ("embedding",) * 2)]
    terms = dataclasses.replace(terms, outputs=tuple(outputs))
    classifier = Classifier(model, terms, 1)
    learnt, checked = (
        [classifier.run(prepare(image, terms.input)).embedding for image in _spots(count, seed)]
        for count, seed in ((novelty.MIN_TRAINING, 1), (100, 2))
    )
    found = novelty.fit(np.array(learnt), np.array(checked))
    assert found is not None
    path = tmp_path_factory.mktemp("watched") / "watched.kit"
    terms = dataclasses.replace(terms, novelty=found.terms)
    vectors = golden.take(classifier, terms).to_json()
    bundle.pack(path, terms, model, "# Tiny\n\nmade-up\n", vectors, found.subspace.to_bytes())
    return bundle.open_bundle(path)


@pytest.fixture(scope="session")
def spot() -> np.ndarray:
    """A photograph like those that `watched` has learnt from, uint8 (64, 64, 3), RGB."""
    return _spots(1, 3)[0]


@pytest.fixture(scope="session")
def strange() -> np.ndarray:
    """A photograph that is unlike them: blue and green stripes, uint8 (64, 64, 3), RGB."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2], image[::3] = (0, 40, 255), (20, 255, 60)
    return image


def _spots(count: int, seed: int) -> list[np.ndarray]:
    """Dark discs on skin."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    found = []
    for _ in range(count):
        image = np.full((64, 64, 3), random.integers((210, 160, 140), (240, 200, 180)))
        y, x, radius = random.integers((24, 24, 8), (40, 40, 20))
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        image[disc] = random.integers((80, 40, 30), (140, 80, 60))
        found.append(np.clip(image + random.normal(0, 5, image.shape), 0, 255).astype(np.uint8))
    return found


@pytest.fixture
def photo() -> np.ndarray:
    """A made-up photograph: a dark disc on skin, uint8 (120, 160, 3), RGB."""
    rows, columns = np.mgrid[:120, :160]
    image = np.full((120, 160, 3), (225, 180, 160), np.uint8)
    image[(rows - 60) ** 2 + (columns - 80) ** 2 < 900] = (110, 60, 45)
    noise = np.random.default_rng(0).integers(-8, 9, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


class Links(HTMLParser):
    """What a page would load, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = ("src", "href", "xlink:href", "srcset", "action", "data")
        self.loads += [value or "" for name, value in attrs if name in named]


@pytest.fixture(scope="session")
def links() -> type[Links]:
    """Reads a page's HTML."""
    return Links


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many KiB of its own; skips where none may be mounted."""
    folder = tmp_path / "disk"

    def mount(kib: int) -> Path:
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("may not mount a file system here")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)
