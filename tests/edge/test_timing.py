import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from dermedge import device, probe, timing
from dermedge.bundle import open_bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError, KitError

X86 = """processor\t: 0
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu sse4_1 avx fma avx2 avx512f avx512_vnni amx_int8 hypervisor

processor\t: 1
model name\t: another
"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm crc32 fphp asimdhp asimddp

Hardware\t: BCM2835
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


@pytest.fixture
def file(tmp_path, photo):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), photo[:, :, ::-1])
    return path


def fake(name, calls) -> Any:
    return SimpleNamespace(
        diagnose=lambda image: calls.append((name, int(image))),
        classifier=SimpleNamespace(threads=1, runtime="fake 1"),
    )


def test_runs_of_two_bundles_are_interleaved_after_a_warm_up():
    calls: list = []
    images: Any = [7, 8]
    first, second = timing.latencies([fake("a", calls), fake("b", calls)], images, runs=3)
    warm = 2 * timing.WARM_UP
    assert calls[warm:] == [("a", 7), ("b", 7), ("a", 8), ("b", 8), ("a", 7), ("b", 7)]
    assert (first.n, len(second.runs_ms)) == (3, 3)


def test_latency_of_a_bundle_says_how_it_was_measured(tiny_bundles, photo):
    told = []
    judge = Diagnostician(open_bundle(tiny_bundles[1]), threads=1)
    (found,) = timing.latencies([judge], [photo], 5, lambda *step: told.append(step))
    assert (found.n, found.threads, found.runtime) == (5, 1, judge.classifier.runtime)
    assert min(found.runs_ms) <= found.median_ms <= found.p95_ms <= max(found.runs_ms)
    assert told[-1] == ("timing", 5, 5)


@pytest.mark.parametrize(("images", "runs"), [([], 3), ([np.zeros((9, 9, 3), np.uint8)], 0)])
def test_nothing_to_time_is_refused(images, runs):
    with pytest.raises(InputError, match="at least one run"):
        timing.latencies([], images, runs)


def test_cold_start_is_that_of_fresh_processes(tiny_bundles, file):
    found = timing.cold_start(tiny_bundles[1], file, threads=1, starts=2)
    assert found.n == 2
    assert found.seconds > 0
    assert found.peak_mib is None or found.peak_mib > 10


def test_a_failing_process_is_told_with_its_last_words(tiny_bundles, tmp_path):
    text = tmp_path / "photo.jpg"
    text.write_text("no photograph")
    with pytest.raises(KitError, match=r"failed with 4: .*not a readable photograph"):
        timing.cold_start(tiny_bundles[1], text, starts=1)


def test_a_process_that_was_killed_is_told_so(tiny_bundles, file, monkeypatch):
    popen, die = subprocess.Popen, "import os; os.kill(os.getpid(), 9)"

    def killed(command, **options):
        return popen([sys.executable, "-c", die], **options)

    monkeypatch.setattr(subprocess, "Popen", killed)
    with pytest.raises(KitError, match="ended by signal 9"):
        timing.cold_start(tiny_bundles[1], file, starts=1)


def test_probe_prints_one_line_of_json(tiny_bundles, file, capsys):
    assert probe.main([str(tiny_bundles[1]), str(file), "--threads", "1"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert set(line) == {"verdict", "seconds", "peak_mib"}
    assert line["seconds"] > 0


def test_processor_and_features_of_x86_and_arm():
    name, features = device.parse_cpuinfo(X86)
    assert name == "Intel(R) Xeon(R) Platinum 8481C"
    assert features == ("sse4_1", "avx", "fma", "avx2", "avx512f", "avx512_vnni", "amx_int8")
    name, features = device.parse_cpuinfo(ARM)
    assert name == "Raspberry Pi 5 Model B Rev 1.0"
    assert features == ("asimd", "fphp", "asimdhp", "asimddp")
    assert device.parse_cpuinfo("") == ("", ())


def test_this_device_is_described_even_without_proc(monkeypatch, tmp_path):
    for name in ("_CPUINFO", "_MEMINFO", "_BOARD"):
        monkeypatch.setattr(device, name, tmp_path / "absent")
    found = device.this_device()
    assert found.cpu
    assert found.cores >= 1
    assert json.loads(json.dumps(found.as_dict()))["features"] == []
