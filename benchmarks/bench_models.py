"""The full model against the small one, in the same runtime: latency, cold start, memory, size."""

import zlib
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.timing import cold_start


@pytest.mark.parametrize("threads", [1, 2])
def test_diagnose(
    benchmark: BenchmarkFixture, bundle: Bundle, pixels: list[np.ndarray], threads: int
) -> None:
    """From RGB pixels to verdict."""
    benchmark.group = f"diagnose, {threads} thread{'s' * (threads > 1)}"
    doctor, images = Diagnostician(bundle, threads), cycle(pixels)
    benchmark.extra_info |= {
        **facts(bundle),
        "threads": threads,
        "runtime": doctor.classifier.runtime,
    }
    benchmark.pedantic(lambda: doctor.diagnose(next(images)), rounds=40, warmup_rounds=5)


def test_cold_start(benchmark: BenchmarkFixture, bundle: Bundle, photographs: list[Path]) -> None:
    """A fresh process judges one photograph file; its peak memory beside."""
    benchmark.group = "cold start of a fresh process"
    starts = benchmark.pedantic(
        cold_start, (bundle.path, photographs[0]), {"starts": 1}, rounds=5, warmup_rounds=1
    )
    benchmark.extra_info |= {**facts(bundle), "peak_mib": starts.peak_mib}


def facts(bundle: Bundle) -> dict:
    """Size and accuracy, which belong beside every speed."""
    measured = bundle.contract.provenance.metrics.get("test", {})
    return {
        "model": bundle.path.stem,
        "data": bundle.contract.provenance.data,
        "made_up": bundle.contract.provenance.made_up,
        "side": bundle.contract.input.height,
        "bytes": len(bundle.model),
        "bytes_zipped": len(zlib.compress(bundle.model, 6)),
        "test_auc": measured.get("auc"),
    }
