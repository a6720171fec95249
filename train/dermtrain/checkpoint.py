"""Where an interrupted run goes on: everything that the next epoch depends on, in one file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermedge import atomic
from dermedge.errors import BundleError
from dermtrain.history import Entry

FILE = "checkpoint.npz"
_STATE = "state"

Arrays = list[npt.NDArray]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after an epoch. Random numbers need none: each epoch seeds its own.

    Attributes:
        data: Key of the prepared photographs, see `Pixels.key`.
        phase: Number of the phase under way.
        epoch: Epochs of it that are done; 0 at its start.
        waited: Epochs since the best one, as the plateau counts them.
        slowed: Whether the learning rate has already fallen at a plateau.
        entries: The history so far.
        model: All weights of the net.
        optimizer: All variables of the optimizer.
        best: Weights of the phase's best epoch, of the part that trains.
    """

    data: str
    phase: int
    epoch: int = 0
    waited: int = 0
    slowed: bool = False
    entries: tuple[Entry, ...] = ()
    model: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)


_ARRAYS = ("model", "optimizer", "best")


def save(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all: with a full disk the last one stays.

    Raises:
        StorageError: The disk is full or can't be written.
    """
    plain = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    arrays = {f"{name}/{i:05d}": a for name in _ARRAYS for i, a in enumerate(plain.pop(name))}
    plain["entries"] = [_numbers(dataclasses.asdict(entry)) for entry in state.entries]
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    with atomic.whole(path) as temporary:
        np.savez(temporary, **{_STATE: text}, **arrays)


def load(path: Path) -> Checkpoint | None:
    """Read the checkpoint; None if the run was interrupted before the first.

    Raises:
        BundleError: The file is broken.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            plain = json.loads(archive[_STATE].tobytes())
            names = sorted(archive.files)
            arrays: dict[str, Any] = {
                name: [archive[key] for key in names if key.startswith(f"{name}/")]
                for name in _ARRAYS
            }
        entries = tuple(Entry(**_floats(entry)) for entry in plain.pop("entries"))
        return Checkpoint(**plain, **arrays, entries=entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is broken ({error}); train again in a new folder") from error


def restore(variables: Sequence, values: Arrays) -> None:
    """Assign saved values to variables, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _numbers(entry: dict) -> dict:
    """JSON has no NaN: the loss before the first step becomes null."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in entry.items()}


def _floats(entry: dict) -> dict:
    return {k: math.nan if v is None else v for k, v in entry.items()}
