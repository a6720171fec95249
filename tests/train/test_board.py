"""What TensorBoard and MLflow are told of a run."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dermedge.errors import InputError
from dermtrain.history import Entry

pytestmark = pytest.mark.tensorflow
mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def job(tmp_path: Path) -> Any:
    recipe = SimpleNamespace(name="scratch")
    return SimpleNamespace(
        out=tmp_path / "run", recipe=recipe, seed=3, size=96, data=tmp_path / "pics", weights="none"
    )


def entry(epoch: int, auc: float) -> Entry:
    return Entry("transfer", epoch, 0.01, 0.5, 0.6, auc, 0.0, 1.0)


def test_mlflow_gets_settings_and_a_point_for_each_epoch(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dermtrain.board import boards

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with boards(job, False, (tmp_path / "mlruns").as_uri()) as (listen,):
        listen(entry(1, 0.7))
        listen(entry(2, math.nan))  # no number: no point
        listen(entry(3, 0.8))
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name("dermkit")
    (run,) = client.search_runs([cast(Any, found).experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "3"
    points = client.get_metric_history(run.info.run_id, "transfer/val_auc")
    assert [(point.step, point.value) for point in points] == [(0, 0.7), (2, 0.8)]


@pytest.mark.parametrize("uri", ["mlruns", "nonsense://there"])
def test_an_address_that_mlflow_can_not_use_is_named(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    from dermtrain.board import boards

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with (
        pytest.raises(InputError, match=f"--mlflow {uri}: .*tracking server"),
        boards(job, False, uri),
    ):
        pass


def test_a_server_that_goes_does_not_end_the_training(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dermtrain.board import boards

    def gone(*given: object, **more: object) -> None:
        raise mlflow.exceptions.MlflowException("no route")

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with boards(job, False, (tmp_path / "mlruns").as_uri()) as (listen,):
        monkeypatch.setattr(mlflow, "log_metrics", gone)
        with pytest.warns(UserWarning, match="not told of epoch 1: no route"):
            listen(entry(1, 0.7))
