"""The runtime and threads that were chosen for a model on this device, kept and looked up."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import choice, engine
from dermedge.choice import Choice
from dermedge.errors import StorageError

MODEL = "ab" * 32


@pytest.fixture
def chosen() -> Choice:
    return choice.here("ai-edge-litert", 1, 12.5)


def test_a_choice_is_found_again_for_its_own_model_only(tmp_path: Path, chosen: Choice):
    path = choice.save(tmp_path, MODEL, chosen)
    assert path == tmp_path / "engines" / f"{MODEL}.json"
    assert choice.find(tmp_path, MODEL) == (chosen, "")
    assert choice.find(tmp_path, "cd" * 32) == (None, "")


def test_a_choice_says_for_which_machine_it_was_made(chosen: Choice):
    assert chosen.runtimes == engine.installed()
    assert chosen.cores >= 1
    assert chosen.cpu


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu": "Cortex-A76"}, "of Cortex-A76, here are "),
        ({"cores": 999}, "measured with 999 cores of "),
        ({"runtimes": {"ai-edge-litert": "0.1"}}, "a runtime changed: ai-edge-litert "),
    ],
)
def test_a_choice_of_another_machine_or_runtime_is_stale(
    tmp_path: Path, chosen: Choice, changes: dict, said: str
):
    choice.save(tmp_path, MODEL, dataclasses.replace(chosen, **changes))
    found, remark = choice.find(tmp_path, MODEL)
    assert found is None
    assert said in remark
    assert "kit benchmark BUNDLE --tune" in remark


def test_a_runtime_that_is_gone_makes_a_choice_stale(tmp_path: Path, chosen: Choice):
    runtimes = {**chosen.runtimes, "fast-runtime": "1.0"}
    choice.save(tmp_path, MODEL, dataclasses.replace(chosen, runtimes=runtimes))
    assert "runtime changed: fast-runtime is gone" in choice.find(tmp_path, MODEL)[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"threads": 0},
        {"threads": True},
        {"runtime": "other"},
        {"runtimes": None},
        {"more": 1},
    ],
)
def test_a_damaged_choice_is_remarked_and_not_used(tmp_path: Path, chosen: Choice, changes: dict):
    path = choice.save(tmp_path, MODEL, chosen)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    found, remark = choice.find(tmp_path, MODEL)
    assert found is None
    assert f"{path} is damaged" in remark


@given(
    text=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    ).map(lambda found: json.dumps(found).encode())
)
def test_no_file_whatever_stops_who_judges(tmp_path_factory: pytest.TempPathFactory, text: bytes):
    home = tmp_path_factory.mktemp("home")
    (home / "engines").mkdir()
    (home / "engines" / f"{MODEL}.json").write_bytes(text)
    found, remark = choice.find(home, MODEL)
    assert found is None
    assert "is damaged" in remark


def test_a_choice_that_can_not_be_read_is_remarked(tmp_path: Path):
    (tmp_path / "engines" / f"{MODEL}.json").mkdir(parents=True)
    assert "can't be read" in choice.find(tmp_path, MODEL)[1]


def test_a_choice_that_can_not_be_stored_is_told(tmp_path: Path, chosen: Choice):
    (tmp_path / "engines").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        choice.save(tmp_path, MODEL, chosen)
