"""Preparing a data set: photographs a second, opening it again, random batches, memory.

pytest benchmarks/bench_prepare.py --benchmark-only
python benchmarks/bench_prepare.py 20000     # so many photographs, one process: time and memory
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dermedge import image
from dermedge.contract import Input
from dermedge.prepare import prepare
from dermedge.table import Row, Table
from dermtrain import dataset
from dermtrain.dataset import Pixels, prepare_table

SPEC, COUNT, BATCH = Input(299, 299), 512, 32


def many(photographs: list[Path], count: int, folder: Path) -> Table:
    """A table of `count` photographs: the given ones again and again, as links."""
    folder.mkdir()
    rows = []
    for number in range(count):
        source = photographs[number % len(photographs)].resolve()
        name = f"{number:06d}{source.suffix}"
        (folder / name).symlink_to(source)
        rows.append(Row(name, "benign"))
    return Table(folder, folder, tuple(rows))


@pytest.fixture(scope="module")
def table(photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Table:
    """512 photographs."""
    return many(photographs, COUNT, tmp_path_factory.mktemp("many") / "photographs")


@pytest.fixture(scope="module")
def prepared(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixels]:
    """The same, prepared."""
    cache = tmp_path_factory.mktemp("prepared")
    yield prepare_table(table, SPEC, cache)
    shutil.rmtree(cache)


def test_plain_loop(benchmark: BenchmarkFixture, table: Table) -> None:
    """The peer: decode and resize one after the other into an array in memory."""
    benchmark.group = f"{COUNT} photographs to pixels"
    values = np.empty((COUNT, 299, 299, 3), np.uint8)

    def loop() -> None:
        for number, row in enumerate(table.rows):
            values[number] = prepare(image.read(table.path(row)), SPEC)[0]

    benchmark.pedantic(loop, rounds=3)


@pytest.mark.parametrize("threads", [1, dataset.cores()])
def test_prepare_table(
    benchmark: BenchmarkFixture,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    """Decode, resize, measure quality, write, sync."""
    benchmark.group = f"{COUNT} photographs to pixels"
    monkeypatch.setattr(dataset, "cores", lambda: threads)
    cache = tmp_path / "cache"

    def fresh() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    benchmark.pedantic(lambda: prepare_table(table, SPEC, cache), setup=fresh, rounds=3)
    shutil.rmtree(cache)


def test_open_again(benchmark: BenchmarkFixture, table: Table, prepared: Pixels) -> None:
    """Every byte checked, no photograph read."""
    benchmark.group = "open 512 prepared photographs again"
    cache = prepared.values._parts[0].path.parent  # type: ignore[union-attr]
    benchmark(lambda: prepare_table(table, SPEC, cache))


@pytest.mark.parametrize("how", ["shards", "memory map"])
def test_random_batch(
    benchmark: BenchmarkFixture, prepared: Pixels, tmp_path: Path, how: str
) -> None:
    """32 photographs at random; the peer is one mapped file of all of them."""
    benchmark.group = "a batch of 32 at random"
    values = prepared.values
    if how == "memory map":
        np.save(tmp_path / "all.npy", np.asarray(values))
        values = np.load(tmp_path / "all.npy", mmap_mode="r")
    random = np.random.default_rng(0)
    benchmark(lambda: values[random.integers(0, COUNT, BATCH)])
    (tmp_path / "all.npy").unlink(missing_ok=True)


def main() -> None:
    """Prepare so many photographs, open them again, read each once in random order."""
    from conftest import MADE_UP, REAL

    from dermedge.probe import _peak_mib

    count = int(sys.argv[1])
    found = image.find(REAL / "images") or image.find(MADE_UP / "images")
    with tempfile.TemporaryDirectory() as folder:
        table = many(found, count, Path(folder) / "photographs")
        print(f"{count} photographs, {dataset.cores()} cores; before: peak {_peak_mib():.0f} MiB")

        def told(what: str, start: float, processor: float) -> None:
            took, used = time.perf_counter() - start, time.process_time() - processor
            print(
                f"{what}: {took:.1f} s, {count / took:.0f} a second, {used / took:.2f} cores busy; "
                f"peak {_peak_mib():.0f} MiB",
                flush=True,
            )

        for what in ("prepared", "opened again"):
            start, processor = time.perf_counter(), time.process_time()
            pixels = prepare_table(table, SPEC, Path(folder) / "cache")
            told(what, start, processor)
        shuffled = np.random.default_rng(0).permutation(count)
        start, processor = time.perf_counter(), time.process_time()
        for first in range(0, count, BATCH):
            pixels.values[shuffled[first : first + BATCH]]
        told("read at random", start, processor)
        size = sum(path.stat().st_size for path in (Path(folder) / "cache").iterdir())
        print(f"on disk: {size / 1e9:.2f} GB; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
