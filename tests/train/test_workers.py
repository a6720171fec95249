"""Two machines, as Kubeflow's TFJob sets them up: two real processes on loopback."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dermedge.errors import InputError
from dermtrain import devices

KIT = str(Path(sys.executable).with_name("kit"))
RECIPE = """
batch = 8
[[phase]]
name = "transfer"
views = 1
[[phase]]
name = "finetune"
train = "conv5"
views = 1
epochs = 3
patience = 3
learning_rate = 1e-4
"""


def _ports() -> list[int]:
    """Two ports that nobody uses."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start(folder: Path, *arguments: object) -> list[subprocess.Popen]:
    ports, started = _ports(), []
    for index in range(2):
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        cache = ["--cache", str(folder / f"cache{index}")]
        with (folder / f"log{index}").open("w") as log:
            started.append(
                subprocess.Popen(
                    [KIT, "train", *map(str, arguments), *cache],
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=log,
                    stderr=log,
                )
            )
    return started


def _losses(text: str) -> list[str]:
    """The lines of the epochs, without the seconds that they took."""
    lines = [line for line in text.splitlines() if line.startswith("finetune ")]
    return [line.partition("val AUC")[0] for line in lines if "  rate " in line]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_two_workers_go_on_after_one_was_killed_and_agree(
    pictures: Path, weight_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "two.toml").write_text(RECIPE)
    new = (pictures, "--out", tmp_path / "run", "--weights", weight_file)
    workers = _start(tmp_path, *new, "--image-size", 64, "--recipe", tmp_path / "two.toml")
    try:
        _wait(lambda: (tmp_path / "run" / "checkpoint.npz").exists(), workers)
        _wait(lambda: len(_losses((tmp_path / "log0").read_text())) > 1, workers)
        workers[1].send_signal(signal.SIGKILL)
        workers[1].wait(30)
        # The other one must not wait for ever, and says in one line what to do.
        assert workers[0].wait(300) != 0
        assert "kit: another machine is gone" in (tmp_path / "log0").read_text()
        assert "Traceback" not in (tmp_path / "log0").read_text()
    finally:
        for worker in workers:
            worker.kill()
    workers = _start(tmp_path, "--resume", tmp_path / "run")
    assert [worker.wait(300) for worker in workers] == [0, 0]
    logs = [(tmp_path / f"log{index}").read_text() for index in range(2)]
    assert _losses(logs[0]) == _losses(logs[1]) != []
    with (tmp_path / "run" / "history.csv").open(newline="") as stream:
        epochs = [int(r["epoch"]) for r in csv.DictReader(stream) if r["phase"] == "finetune"]
    assert epochs == [0, 1, 2, 3]


def _wait(ready, workers: list[subprocess.Popen]) -> None:
    for _ in range(600):
        if ready():
            return
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.5)
    pytest.fail("nothing happened for five minutes")


@pytest.mark.parametrize(
    "text",
    ["no JSON", "[]", "{}", '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}'],
)
def test_a_cluster_that_is_not_understood_is_refused_with_an_example(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r'TF_CONFIG is not a cluster.*"worker": \["host1:2222"'):
        devices.find("float32")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision 'half': expected one of auto, float32"):
        devices.find("half")


def test_the_chief_comes_before_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert devices._cluster() == (2, 3)
