"""Phases: the plateau, the best step, and a history that a spreadsheet reads."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtrain import cli
from dermtrain.history import Entry, Epoch, History

AUCS = st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9]), min_size=1, max_size=30)


def _epoch(auc: float) -> Epoch:
    return Epoch(learning_rate=0.1, loss=1.0, val_loss=1.5, val_auc=auc)


@given(aucs=AUCS, patience=st.integers(1, 5))
def test_plateau_is_patience_steps_since_the_first_best_one(
    aucs: list[float], patience: int
) -> None:
    phase = History().phase("p", patience)
    for step, auc in enumerate(aucs):
        best = aucs.index(max(aucs[: step + 1]))
        assert phase.add(_epoch(auc)) == (step - best >= patience)
        assert phase.best == best
        assert phase.improved == (step == best)


@given(aucs=AUCS, patience=st.integers(1, 5))
def test_patience_begins_anew_when_asked_but_the_best_stays(
    aucs: list[float], patience: int
) -> None:
    phase = History().phase("p", patience)
    assert [phase.add(_epoch(auc)) for auc in [*aucs, *[0.0] * patience]][-1]
    phase.wait()
    again = [phase.add(_epoch(0.0)) for _ in range(patience)]
    assert again == [False] * (patience - 1) + [True]
    assert phase.best == aucs.index(max(aucs))


def test_phases_are_numbered_apart_and_told_as_they_come() -> None:
    told: list[Entry] = []
    history = History(told.append)
    for name in ("transfer", "finetune"):
        phase = history.phase(name, 3)
        phase.add(_epoch(0.5))
        phase.add(_epoch(0.6))
    assert [(entry.phase, entry.epoch) for entry in told] == [
        ("transfer", 0),
        ("transfer", 1),
        ("finetune", 0),
        ("finetune", 1),
    ]
    assert history.entries == told
    assert all(entry.seconds >= 0 for entry in told)


def test_csv_reads_back_as_the_same_numbers() -> None:
    history = History()
    phase = history.phase("finetune", 3)
    phase.add(Epoch(3e-5, math.nan, 0.1 + 0.2, 2 / 3))
    phase.add(Epoch(3e-6, 0.25, 0.5, 1.0))
    first, second = csv.DictReader(io.StringIO(history.to_csv()))
    assert list(first) == [
        "phase",
        "epoch",
        "learning_rate",
        "loss",
        "val_loss",
        "val_auc",
        "idle",
        "seconds",
    ]
    assert (first["phase"], first["epoch"], second["epoch"]) == ("finetune", "0", "1")
    assert math.isnan(float(first["loss"]))
    assert float(first["val_loss"]) == 0.1 + 0.2
    assert float(first["val_auc"]) == 2 / 3
    assert float(second["learning_rate"]) == pytest.approx(3e-6)


@pytest.mark.parametrize(
    ("epoch", "loss", "said"),
    [(0, math.nan, "loss -  "), (1, 0.5, "loss 0.5000"), (1, math.nan, "nan")],
)
def test_a_line_shows_no_loss_before_the_first_step_and_one_that_went_wrong(
    epoch: int, loss: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli._print_entry(Entry("finetune", epoch, 1e-5, loss, 0.6, 0.8, 0.0, 2.0))
    assert said in capsys.readouterr().err
