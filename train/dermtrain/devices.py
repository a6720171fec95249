"""Where training runs: one device, several GPUs, or several machines, and in which precision."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from dermedge.errors import InputError, KitError

PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
_CLUSTER = "TF_CONFIG"


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices in use.

    Attributes:
        strategy: How TensorFlow spreads a step over them.
        worker: Number of this machine; 0 writes the run folder.
        workers: Number of machines.
        gpu: Whether they are GPUs.
    """

    strategy: tf.distribute.Strategy
    worker: int
    workers: int
    gpu: bool

    @property
    def chief(self) -> bool:
        """Whether this machine writes what the run leaves."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Devices over all machines; each takes an equal part of a batch."""
        return self.strategy.num_replicas_in_sync

    def __str__(self) -> str:
        """One line for the terminal."""
        kind = "GPU" if self.gpu else "CPU"
        machines = f", machine {self.worker + 1} of {self.workers}" if self.workers > 1 else ""
        return f"{self.replicas} {kind}{machines}, {keras.mixed_precision.global_policy().name}"

    def check(self, batch: int) -> None:
        """Refuse a batch that the devices can't share equally.

        Raises:
            InputError: It is not a multiple of their number.
        """
        if batch % self.replicas:
            raise InputError(
                f"a batch of {batch} can't be shared by {self.replicas} devices: give the recipe "
                f"a batch that is a multiple of {self.replicas}"
            )

    def place(self, values: tf.Tensor) -> Any:
        """This machine's part of a batch, cut into one piece for each of its devices."""
        mine = self.replicas // self.workers
        if mine == 1:
            return values
        pieces = tf.split(values, mine)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: pieces[context.replica_id_in_sync_group % mine]
        )


@contextmanager
def together(found: Devices, run: Path) -> Iterator[None]:
    """Say in one line that another machine is gone; TensorFlow says it in many.

    Raises:
        KitError: It is: what the machines do together can't go on.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if found.workers == 1:
            raise
        raise KitError(
            f"another machine is gone or can't be reached ({type(error).__name__}). When all are "
            f"back, run on each of them: kit train --resume {run}"
        ) from None


def find(precision: str = "auto") -> Devices:
    """Take what is there: all machines of TF_CONFIG, else all GPUs, else the CPU with all cores.

    Sets Keras' global precision too: `auto` is mixed_float16 on GPUs and float32 elsewhere. Called
    once, before any other work of TensorFlow, as several machines demand.

    Raises:
        InputError: TF_CONFIG can't be understood, or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    gpus = tf.config.list_physical_devices("GPU")
    worker, workers = _cluster()
    if workers > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(gpus) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    if precision == "auto":
        precision = "mixed_float16" if gpus else "float32"
    keras.mixed_precision.set_global_policy(precision)
    return Devices(strategy, worker, workers, bool(gpus))


def _cluster() -> tuple[int, int]:
    """This machine's number and the number of machines, as Kubeflow's TFJob sets TF_CONFIG."""
    text = os.environ.get(_CLUSTER, "")
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs, workers = len(cluster.get("chief", ())), len(cluster.get("worker", ()))
        kind, index = task["type"], int(task["index"])
        if set(cluster) - {"chief", "worker"} or kind not in ("chief", "worker"):
            raise ValueError("only chief and worker are known")
        return index + (chiefs if kind == "worker" else 0), chiefs + workers
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{_CLUSTER} is not a cluster of workers ({error}); expected, for example, "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from error
