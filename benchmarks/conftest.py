"""What the benchmarks measure: two bundles and some photographs, and the machine they ran on."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from dermedge import image
from dermedge.bundle import Bundle, open_bundle
from dermedge.device import this_device

HERE = Path(__file__).parent
BUNDLES = Path(os.environ.get("KIT_BUNDLES") or HERE.parent / "demo/run/bundles")
REAL = Path(os.environ.get("KIT_REAL_DATA") or HERE.parent.parent / "shared/data") / "isic2017"
MADE_UP = HERE.parent / "demo/pictures"


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    machine_info["device"] = asdict(this_device())


@pytest.fixture(scope="session", params=["float", "small"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """Each of the two bundles in turn."""
    return _open(request.param)


@pytest.fixture(scope="session")
def small() -> Bundle:
    """The small bundle."""
    return _open("small")


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Files of 32 photographs: real ones where there are any, else the demo's made-up ones."""
    found = image.find(REAL / "images") or image.find(MADE_UP / "images")
    if not found:
        pytest.skip("no photographs: set KIT_REAL_DATA, or run make demo")
    return found[:32]


@pytest.fixture(scope="session")
def pixels(photographs: list[Path]) -> list[np.ndarray]:
    """The same, decoded: uint8 (height, width, 3), RGB."""
    return [image.read(path) for path in photographs]


def _open(name: str) -> Bundle:
    path = BUNDLES / f"{name}.kit"
    if not path.is_file():
        pytest.skip(f"no {path}: run make demo, or set KIT_BUNDLES")
    return open_bundle(path)
