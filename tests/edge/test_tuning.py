"""A model in every runtime: which is sound, which is fastest, and what the command keeps."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dermedge import choice, engine, golden, relay, slots, tflite, tuning
from dermedge.bundle import Bundle, open_bundle, pack
from dermedge.cli import app
from dermedge.diagnose import Diagnostician
from dermedge.engine import Runtime
from dermedge.errors import BundleError
from dermedge.model import Classifier, cores, runtimes
from dermedge.timing import Latency
from dermedge.tuning import Entry

LITERT = "ai-edge-litert"


class Shifted(tflite.Interpreter):
    """LiteRT, with `shift` added to every score."""

    def __init__(self, shift: float, model: bytes, threads: int) -> None:
        super().__init__(tflite.import_module(tflite.RUNTIMES[0][0]).Interpreter, model, threads)
        self._shift = np.float32(shift)

    def run(self, value: np.ndarray) -> list[np.ndarray]:
        return [scores * 0 + self._shift for scores in super().run(value)]


def entry(runtime: str, threads: int, median_ms: float, sound: bool = True) -> Entry:
    latency = Latency(median_ms, median_ms, 1, threads, f"{runtime} 1.0", (median_ms,))
    return Entry(latency, 0.0, sound)


@pytest.fixture
def with_golden(tmp_path: Path, tiny_bundles: tuple[Path, Path]) -> Bundle:
    """The small model, with golden vectors."""
    found = open_bundle(tiny_bundles[1])
    vectors = golden.take(Classifier(found.model, found.contract, 1), found.contract)
    pack(tmp_path / "g.kit", found.contract, found.model, found.card, vectors.to_json())
    return open_bundle(tmp_path / "g.kit")


def only(monkeypatch: pytest.MonkeyPatch, *more: Runtime) -> None:
    """Let LiteRT and these be the runtimes that are installed."""
    monkeypatch.setattr(engine, "RUNTIMES", (engine.RUNTIMES[0], *more))


def runtime(shift: float) -> Runtime:
    return Runtime("numpy", "numpy", lambda: partial(Shifted, shift))


@pytest.mark.parametrize(
    ("most", "found"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_are_doubled_up_to_all_cores(most: int, found: list[int]):
    assert tuning.sweep(most) == found


def test_the_fastest_median_is_chosen():
    entries = [entry("a", 1, 30), entry("b", 1, 20), entry("a", 2, 15), entry("b", 2, 12)]
    assert tuning.fastest(entries) is entries[3]


@pytest.mark.parametrize(("one_thread", "chosen"), [(10.29, 1), (10.31, 4)])
def test_within_three_percent_fewer_threads_are_chosen(one_thread: float, chosen: int):
    entries = [entry("a", 4, 10.0), entry("a", 2, 10.5), entry("b", 1, one_thread)]
    assert tuning.fastest(entries).threads == chosen


def test_what_gives_other_scores_is_never_chosen():
    entries = [entry("a", 1, 30), entry("b", 1, 1, sound=False)]
    assert tuning.fastest(entries) is entries[0]
    with pytest.raises(BundleError, match="no runtime gives the scores"):
        tuning.fastest(entries[1:])


def test_every_installed_runtime_is_tried_with_every_number_of_threads(with_golden: Bundle):
    judges, refused = tuning.candidates(with_golden)
    tried = [(j.classifier.runtime.partition(" ")[0], j.classifier.threads) for j in judges]
    assert tried == [(name, count) for name in runtimes() for count in tuning.sweep(cores())]
    assert refused == {}


def test_a_runtime_with_other_scores_is_found_out(
    with_golden: Bundle, monkeypatch: pytest.MonkeyPatch
):
    only(monkeypatch, runtime(2.0))
    judges, _ = tuning.candidates(with_golden)
    found = tuning.measure(judges, runs=2)
    assert {one.runtime: one.sound for one in found} == {LITERT: True, "numpy": False}
    assert all(one.off <= golden.TOLERANCE for one in found if one.runtime == LITERT)
    assert tuning.fastest(found).runtime == LITERT


def test_without_golden_vectors_the_first_runtime_stands_for_them(
    tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    only(monkeypatch, runtime(2.0))
    judges, _ = tuning.candidates(open_bundle(tiny_bundles[1]))
    found = tuning.measure(judges, runs=1)
    assert found[0].off == 0
    assert not found[-1].sound


def test_a_runtime_that_gives_no_numbers_is_told_and_left_out(
    with_golden: Bundle, monkeypatch: pytest.MonkeyPatch
):
    only(monkeypatch, runtime(float("nan")))
    judges, refused = tuning.candidates(with_golden)
    assert {judge.classifier.runtime.partition(" ")[0] for judge in judges} == {LITERT}
    assert "no numbers" in refused["numpy"]


def test_a_bundle_that_no_runtime_can_run_is_refused(with_golden: Bundle):
    broken = dataclasses.replace(with_golden, model=b"garbage" * 100)
    with pytest.raises(BundleError, match=f"{LITERT} .* can't run model"):
        tuning.candidates(broken)


def kept(home: Path, bundle: Bundle, runtime: str, threads: int) -> None:
    made = choice.here(runtime, threads, 1.0)
    choice.save(home, bundle.contract.model.sha256, made)


def test_the_choice_is_used_unless_the_user_says_otherwise(tmp_path: Path, with_golden: Bundle):
    kept(tmp_path, with_golden, LITERT, 7)
    assert relay.build(with_golden, tmp_path).classifier.threads == 7
    assert relay.build(with_golden, tmp_path, threads=1).classifier.threads == 1
    assert relay.build(with_golden, tmp_path, runtime=LITERT).classifier.threads == cores()
    judge = relay.appoint(with_golden.path, tmp_path)
    assert (judge.classifier.threads, judge.note) == (7, "")


def test_the_installed_model_and_its_successor_have_choices_of_their_own(
    tmp_path: Path, tiny_bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    first, second = (open_bundle(path) for path in tiny_bundles)
    kept(tmp_path, first, LITERT, 3)
    kept(tmp_path, second, LITERT, 5)
    monkeypatch.setattr(slots, "open_current", lambda home: (first, ""))
    judge: Any = relay.appoint(Path(slots.INSTALLED), tmp_path)
    assert judge.classifier.threads == 3
    monkeypatch.setattr(slots, "open_current", lambda home: (second, ""))
    judge._build()
    assert (judge._next.bundle, judge._next.classifier.threads) == (second, 5)


def test_a_stale_choice_leaves_the_defaults_and_a_remark(tmp_path: Path, with_golden: Bundle):
    made = dataclasses.replace(choice.here(LITERT, 7, 1.0), cpu="another")
    choice.save(tmp_path, with_golden.contract.model.sha256, made)
    judge = relay.build(with_golden, tmp_path)
    assert judge.classifier.threads == cores()
    assert "no longer hold" in judge.note


def test_a_chosen_runtime_that_fails_here_gives_way_to_the_default(
    tmp_path: Path, with_golden: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def fails(model: bytes, threads: int) -> engine.Engine:
        raise RuntimeError("can't protect")

    only(monkeypatch, Runtime("numpy", "numpy", lambda: fails))
    kept(tmp_path, with_golden, "numpy", 1)
    judge = relay.build(with_golden, tmp_path)
    assert judge.classifier.runtime.startswith(LITERT)
    assert "can't be used here, so the default is: numpy" in judge.note
    with pytest.raises(BundleError, match="can't protect"):
        relay.build(with_golden, tmp_path, runtime="numpy")


def run(home: Path, *words: object) -> tuple[str, str]:
    found = CliRunner().invoke(app, [*map(str, words), "--home", str(home)])
    assert found.exit_code == 0, found.exception
    return found.stdout, found.stderr


def test_the_command_keeps_the_fastest_and_uses_it_from_then_on(
    tmp_path: Path, with_golden: Bundle
):
    home, file = tmp_path / "home", with_golden.path
    out, _ = run(home, "benchmark", file, "--tune", "--runs", 3, "--json")
    found = json.loads(out)
    assert {line["runtime"].partition(" ")[0] for line in found["measured"]} == set(runtimes())
    best = found["best"]
    assert best in found["measured"]
    assert best["min_ms"] <= best["median_ms"] <= best["p95_ms"]
    assert found["golden"] is True
    kept, remark = choice.find(home, with_golden.contract.model.sha256)
    assert kept is not None
    assert (f"{kept.runtime} {kept.runtimes[kept.runtime]}", kept.threads, remark) == (
        *(best["runtime"], best["threads"]),
        "",
    )
    again = json.loads(run(home, "benchmark", file, "--runs", 1, "--json")[0])
    assert [line["threads"] for line in again["measured"]] == [kept.threads]
    assert again["measured"][0]["runtime"] == best["runtime"]
    assert again["stored"] is None


def test_the_command_tells_its_table_in_words(tmp_path: Path, with_golden: Bundle):
    words = (with_golden.path, "--runs", 2, "--threads", 1, "--runtime", LITERT)
    out, _ = run(tmp_path / "home", "benchmark", *words)
    head, columns, row, *rest = out.splitlines()
    assert "cores" in head
    assert columns.split() == ["runtime", "threads", "median", "p95", "min", "off"]
    assert row.split()[:3] == [
        *Classifier(with_golden.model, with_golden.contract).runtime.split(),
        "1",
    ]
    assert "the golden vectors" in rest[0]
    assert "a fresh process judges after" in rest[1]
    assert not (tmp_path / "home").exists()


def test_tune_and_a_runtime_of_ones_own_exclude_each_other(tmp_path: Path, with_golden: Bundle):
    words = ["benchmark", str(with_golden.path), "--tune", "--threads", "1"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2
    assert "--tune tries them all" in found.stderr


def test_a_runtime_is_named_on_the_command_line(
    tmp_path: Path, with_golden: Bundle, photo: np.ndarray
):
    import cv2

    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), photo[:, :, ::-1])
    out, _ = run(tmp_path, "diagnose", with_golden.path, picture, "--runtime", LITERT, "--json")
    assert json.loads(out)["decision"] == Diagnostician(with_golden, 1).diagnose(photo).decision
    made = dataclasses.replace(choice.here(LITERT, 7, 1.0), cpu="another")
    choice.save(tmp_path, with_golden.contract.model.sha256, made)
    assert "no longer hold" in run(tmp_path, "diagnose", with_golden.path, picture)[1]
