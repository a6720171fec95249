"""Made-up photographs, a small full net, a partial weight file and a finished run, made once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dermedge import contract, table
from dermtrain import synthetic
from dermtrain.dataset import Pixels, prepare_table
from dermtrain.recipe import Phase, Recipe

if TYPE_CHECKING:
    import tf_keras as keras

    from dermtrain.run import Run

SIZE = 64
# Fast: one view, and one epoch of fine-tuning in conv5 only.
QUICK = Recipe(
    "quick",
    batch=8,
    phase=(
        Phase("transfer", views=1),
        Phase("finetune", train="conv5", views=1, epochs=1, learning_rate=1e-5),
    ),
)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made-up set of 40 small pictures."""
    return synthetic.make_set(tmp_path_factory.mktemp("pictures") / "set", 40, size=96).parent


@pytest.fixture(scope="session")
def prepared(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """The made-up set, prepared."""
    spec = contract.Input(SIZE, SIZE)
    return prepare_table(table.read(pictures), spec, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def net(prepared: Pixels) -> keras.Model:
    """A full net with random kernels whose BN statistics come from the pictures: read only."""
    import tf_keras as keras

    from dermtrain import backbone, warmstart

    keras.utils.set_random_seed(0)
    model = backbone.build(SIZE, 2)
    tail = backbone.above(model, backbone.PIXELS, backbone.TOP)
    stages = ["conv1", *backbone.STAGES]
    warmstart.adapt_batch_norm(tail, stages, prepared.values, np.arange(40))
    return model


@pytest.fixture(scope="session")
def weight_file(net: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of conv1 to conv4 of the small net, kernels in float16; conv5 and head are absent."""
    from dermtrain import backbone

    path = tmp_path_factory.mktemp("weights") / "up_to_conv4.npz"
    np.savez(
        path,
        **{
            f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}": variable.numpy().astype(
                np.float16 if "kernel" in variable.name else np.float32
            )
            for layer in net.layers
            if backbone.stage_of(layer.name) in ("conv1", "conv2", "conv3", "conv4")
            for variable in layer.weights
        },
    )
    return path


@pytest.fixture(scope="session")
def finished(
    pictures: Path, weight_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[str]]:
    """A finished run on the made-up set, and what was said meanwhile: read only."""
    from dermtrain.history import History
    from dermtrain.job import Job, train
    from dermtrain.store import Store

    notes: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "run"
    job = Job(pictures, out, QUICK, str(weight_file), ("malignant",), SIZE, 0)
    with Store(tmp_path_factory.mktemp("store"), 10**9) as store:
        run = train(job, store, History(), notes.append)
    assert run is not None
    return run, notes
