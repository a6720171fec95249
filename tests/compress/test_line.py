"""`kit compress` from a run to bundles, and what an interruption or a full disk leaves."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dermcompress import (
    candidate,
    climb,
    edge_quantizer,
    flatbuffer,
    line,
    recipe,
    speeds,
    workshop,
)
from dermcompress.ladder import Limits
from dermcompress.recipe import CompressRecipe, Rung
from dermedge import image, novelty, quality, table
from dermedge.bundle import open_bundle
from dermedge.compare import Comparison
from dermedge.contract import NOTICE
from dermedge.diagnose import Diagnostician
from dermedge.errors import (
    BundleError,
    GateError,
    InputError,
    MissingError,
    StorageError,
    TableError,
)
from dermedge.gate import Gate
from dermedge.model import Classifier, runtimes
from dermedge.predictions import figures_of, predict
from dermedge.prepare import view
from dermtrain import job, synthetic
from dermtrain import run as runs
from dermtrain.history import History
from dermtrain.recipe import Phase, Recipe
from dermtrain.store import Store

pytestmark = pytest.mark.tensorflow
SHIP = Rung("slim-distil-qat", recipe.SLIM, distil=1)
RECIPE = CompressRecipe(
    "tests",
    ship=("slim-distil-qat",),
    work=0.6,
    size=48,
    rounds=1,
    photographs=16,
    views=1,
    learning_rate=1e-5,
    gate=Gate(1, 1, 1),
    rung=(
        Rung("float16", recipe.FULL, export="float16"),
        SHIP,
        Rung("slim-sparse-qat", recipe.SLIM, distil=1, sparsity=0.5),
        Rung("slim-random-ptq", recipe.RANDOM, export="ptq", work=0.8, size=32),
        Rung("slim-distil-ptq-ends", recipe.SLIM, 1, export="ptq", keep=("first", "last")),
        Rung("slim-distil-ptq-edge", recipe.SLIM, 1, export="ptq-edge"),
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 96 made-up pictures at 64 pixels, its head trained on random features."""
    folder = tmp_path_factory.mktemp("line")
    synthetic.make_set(folder / "pictures", images=96, seed=1, size=96)
    how = Recipe("tests", phase=(Phase("transfer", views=1),))
    what = job.Job(folder / "pictures", folder / "run", how, "none", (), 64, 0)
    with Store(folder / "store", 10**9) as store:
        job.train(what, store, History(), note=lambda _: None)
    return folder / "run"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("kept"), 8 * 10**9) as opened:
        yield opened


def compress(what: line.Job, store: Store) -> line.Result:
    return line.compress(what, store, lambda _: None)


@pytest.fixture(scope="module")
def result(run: Path, store: Store) -> line.Result:
    """The run, compressed, all rungs of the ladder."""
    return compress(line.Job(run, run / "bundles", RECIPE, rungs="all"), store)


def test_limits_of_quality_are_those_of_the_input_that_each_model_has(
    result: line.Result, run: Path
) -> None:
    photographs = runs.open_run(run).table().part("train")
    pictures = [image.read(photographs.path(row)) for row in photographs.rows]
    found = {}
    for rung in result.ladder.rungs:
        terms = open_bundle(rung.bundle).contract
        seen = [quality.measure(one, view(one, terms.input)) for one in pictures]
        assert terms.quality == quality.limits_from(seen)
        found[terms.input.height] = terms.quality
    assert found[48] != found[64]


def test_every_rung_is_built_and_measured_beside_the_full_model(result: line.Result) -> None:
    by_name = {rung.name: rung for rung in result.ladder.rungs}
    assert list(by_name) == ["float", *(rung.name for rung in RECIPE.rung)]
    full, small = by_name["float"], by_name["slim-distil-qat"]
    # 48 and 32 pixels in place of 64, and a share of the rest.
    assert small.macs == pytest.approx(0.6 * (48 / 64) ** 2 * full.macs, rel=0.15)
    random = by_name["slim-random-ptq"]
    assert random.macs == pytest.approx(0.8 * (32 / 64) ** 2 * full.macs, rel=0.15)
    sides = {
        rung.name: open_bundle(rung.bundle).contract.input.height for rung in (full, small, random)
    }
    assert sides == {"float": 64, "slim-distil-qat": 48, "slim-random-ptq": 32}
    assert by_name["slim-sparse-qat"].zeros == pytest.approx(0.5, abs=0.02)
    assert by_name["float16"].measured.sizes.model < 0.55 * full.measured.sizes.model
    for rung in result.ladder.small:
        assert rung.comparison is not None
        assert rung.opset["ai-edge-litert 2.3.0"] == []
        assert [name.partition(" ")[0] for name in rung.speeds] == runtimes()
    parity = by_name["float16"].comparison
    assert parity is not None
    assert parity.difference.interval.value == pytest.approx(0, abs=0.03)


def test_a_further_runtime_that_can_not_run_a_rung_is_told_and_the_ladder_goes_on(
    result: line.Result, run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*given: Any, runtime: str | None = None) -> Classifier:
        if runtime == "openvino":
            raise BundleError(f"openvino can't run {given[1].model.file}: it says so")
        return Classifier(*given, runtime=runtime)

    monkeypatch.setattr(candidate, "Classifier", refusing)
    monkeypatch.setattr(candidate, "runtimes", lambda: [*runtimes()[:1], "openvino"])
    monkeypatch.setattr(speeds, "runtimes", lambda: runtimes()[:1])
    told: list[str] = []
    what = line.Job(run, tmp_path / "out", RECIPE, rungs="float16")
    found = line.compress(what, store, told.append)
    assert "float16: openvino can't run float16.tflite: it says so" in told
    assert [list(rung.speeds) for rung in found.ladder.rungs] == [
        list(rung.speeds)[:1] for rung in result.ladder.rungs[:2]
    ]


def test_a_rung_as_fast_as_any_that_passes_is_shipped(result: line.Result, run: Path) -> None:
    least = min(rung.ms for rung in result.ladder.small)
    assert result.shipped.ms <= 1.05 * least
    small, own = open_bundle(run / "bundles" / line.SMALL), open_bundle(result.shipped.bundle)
    assert small.sha256 == own.sha256
    said = json.loads((run / "bundles" / "ladder.json").read_text(encoding="utf-8"))
    assert said["best"] == result.shipped.name
    page = result.page.read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert all(rung.name in page for rung in result.ladder.rungs)


def test_bundles_run_in_the_edge_runtime_and_tell_the_truth_about_themselves(
    result: line.Result, run: Path
) -> None:
    for rung in result.ladder.rungs:
        bundle = open_bundle(rung.bundle)
        predictions = predict(Diagnostician(bundle), table.read(run).part("test"))
        promised = bundle.contract.provenance.metrics["test"]["auc"]["value"]
        assert figures_of(predictions).auc.value == pytest.approx(promised, abs=0.03), rung.name
        assert [output.name for output in bundle.contract.outputs] == ["scores", "map", "embedding"]
        assert bundle.contract.novelty is None  # of so few photographs nothing is learnt
        assert "unlike the training photographs: not judged" in bundle.card
        assert "made-up" in bundle.card
        assert "not a medical device" in bundle.card
    small = open_bundle(run / "bundles" / "rungs" / "slim-distil-qat.kit").contract
    assert small.input.height == 48
    assert small.calibration != open_bundle(run / "bundles" / line.FLOAT).contract.calibration
    made = small.provenance.metrics["made"]
    assert made["representative"]["count"] == 16
    assert len(made["representative"]["sha256"]) == 64
    worst = made["worst_layers"]
    assert len(worst) in (5, 6)  # the noisiest may be another
    noisiest = max(worst, key=lambda layer: layer["added"])["layer"]
    assert made["noisiest_layer"] == noisiest
    plain = open_bundle(run / "bundles" / "rungs" / "float16.kit").contract.provenance
    assert plain.metrics["made"]["noisiest_layer"] is None


def test_the_ends_of_a_rung_that_keeps_them_are_float_and_all_else_int8(
    result: line.Result, run: Path
) -> None:
    assert result.page.is_file()
    model = flatbuffer.read(
        open_bundle(run / "bundles" / "rungs" / "slim-distil-ptq-ends.kit").model
    )
    tensors, layers = model.subgraphs[0].tensors, flatbuffer.layers(model)
    kernels = {name: tensors[one.inputs[flatbuffer.KERNEL]].type for name, one in layers.items()}
    kinds = flatbuffer.schema.TensorType
    assert set(kernels.values()) == {kinds.FLOAT32, kinds.INT8}
    kept = {name for name, kind in kernels.items() if kind == kinds.FLOAT32}
    assert kept == {"normalise", "conv1_conv", "head"}


def test_every_rung_learns_from_its_own_embeddings_what_is_unlike(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novelty, "MIN_TRAINING", 16)
    monkeypatch.setattr(novelty, "fit", partial(novelty.fit, false_alarms=0.2))
    done = compress(line.Job(run, tmp_path / "out", RECIPE, rungs="float16"), store)
    pictures = table.read(run)
    validation = pictures.part("val").rows
    for rung in done.ladder.rungs:
        opened = open_bundle(rung.bundle)
        known = opened.contract.novelty
        assert known is not None
        assert (known.dimensions, known.components) == (2048, novelty.COMPONENTS)
        assert known.training == len(pictures.part("train").rows)
        assert f"the {known.training} training photographs" in opened.card
        judge = Diagnostician(opened)
        ratios = [judge.diagnose(image.read(pictures.path(row))).novelty for row in validation]
        beyond = sum(ratio is not None and ratio > 1.001 for ratio in ratios)
        assert beyond <= 0.2 * known.validation


def test_a_second_call_builds_nothing_anew_and_gives_the_same_bytes(
    result: line.Result, run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("slim", "mimic", "sparsify", "quantize_aware"):
        monkeypatch.setattr(workshop, step, lambda *_, **__: pytest.fail("done again"))
    what = line.Job(run, tmp_path / "out", RECIPE, rungs="slim-sparse-qat")
    stages: set[str] = set()
    again = line.compress(what, store, lambda _: None, lambda stage, *_: stages.add(stage))
    assert "judging photographs" in stages  # what proves is measured anew
    assert "scoring" not in stages
    before = next(rung for rung in result.ladder.rungs if rung.name == "slim-sparse-qat")
    assert open_bundle(again.shipped.bundle).sha256 == open_bundle(before.bundle).sha256


def test_what_fails_the_gate_is_not_shipped_and_the_reason_is_told(
    result: line.Result, run: Path, store: Store, tmp_path: Path
) -> None:
    strict = replace(RECIPE, gate=Gate(0, 0, 0))
    what = line.Job(run, tmp_path / "out", strict)
    with pytest.raises(GateError, match=r"slim-distil-qat.*\n?.*AUC may be lower") as error:
        compress(what, store)
    assert error.value.exit_code == 3
    assert not (tmp_path / "out" / line.SMALL).exists()
    assert (tmp_path / "out" / "ladder.html").is_file()
    # It lies among the rungs all the same, and says so there.
    assert open_bundle(tmp_path / "out" / line.RUNGS / "slim-distil-qat.kit").contract.failed_gate
    compress(replace(what, force=True), store)
    forced = open_bundle(tmp_path / "out" / line.SMALL)
    assert forced.contract.notice.startswith("THIS MODEL FAILED ITS GATE")
    assert forced.contract.notice.endswith(NOTICE)
    assert forced.card.count("FAILED ITS GATE") == 1
    assert result.shipped.name


def test_the_next_rung_is_built_only_if_those_before_it_fail_the_gate(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = [Rung(name, recipe.FULL, export=name) for name in ("dynamic", "float16", "ptq")]
    judge = climb.gate.judge

    def against_dynamic(beside: Comparison, *rest: Any) -> tuple[str, ...]:
        made = beside.small.predictions.contract.provenance.metrics["made"]["rung"]
        return ("it lost something",) if made == str(rungs[0]) else judge(beside, *rest)

    monkeypatch.setattr(climb.gate, "judge", against_dynamic)
    told: list[str] = []
    how = replace(RECIPE, rung=tuple(rungs), ship=("dynamic", "float16", "ptq"))
    done = line.compress(line.Job(run, tmp_path / "out", how), store, told.append)
    assert [rung.name for rung in done.ladder.rungs] == ["float", "dynamic", "float16"]
    assert done.shipped.name == "float16"
    assert "no rung passes the gate:\n  dynamic: it lost something\nThe next: float16" in told
    built = tmp_path / "out" / line.RUNGS
    assert not (built / "ptq.kit").exists()
    failed = {path.stem: open_bundle(path).contract.failed_gate for path in built.glob("*.kit")}
    assert failed == {"float": False, "dynamic": True, "float16": False}


def test_interrupted_before_the_last_rung_those_that_failed_say_so_already(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = [Rung(name, recipe.FULL, export=name) for name in ("dynamic", "float16")]
    build = climb.Workshop.build

    def interrupted(self: Any, rung: Rung) -> Any:
        if rung == rungs[1]:
            raise KeyboardInterrupt
        return build(self, rung)

    monkeypatch.setattr(climb.Workshop, "build", interrupted)
    monkeypatch.setattr(climb.gate, "judge", lambda *_: ("it lost something",))
    how = replace(RECIPE, rung=tuple(rungs), ship=("dynamic", "float16"))
    with pytest.raises(KeyboardInterrupt):
        compress(line.Job(run, tmp_path / "out", how), store)
    built = tmp_path / "out" / line.RUNGS
    failed = {path.stem: open_bundle(path).contract.failed_gate for path in built.iterdir()}
    assert failed == {"float": False, "dynamic": True}


def test_limits_that_nothing_meets_name_the_nearest(
    run: Path, store: Store, tmp_path: Path
) -> None:
    tight = Limits(max_mb=0.001)
    what = line.Job(run, tmp_path / "out", RECIPE, limits=tight)
    with pytest.raises(GateError, match=f"the nearest is {SHIP.name}: .* MB, at most 0.001"):
        compress(what, store)


def test_full_disk_during_export_leaves_nothing_half_written(
    result: line.Result, run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = os.replace

    def full(old: Path, new: Path, **how: int | None) -> None:
        if new.suffix == ".kit":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(old, new, **how)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        compress(line.Job(run, tmp_path / "out", RECIPE), store)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert result.shipped.name


def test_a_folder_that_is_no_run_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a finished run"):
        compress(line.Job(tmp_path, tmp_path / "out", RECIPE), store)


def test_an_unknown_rung_is_refused_with_those_that_there_are(
    run: Path, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no rung best .*slim-distil-qat"):
        compress(line.Job(run, tmp_path / "out", RECIPE, rungs="best"), store)


def test_a_layer_to_keep_that_is_not_there_is_told_before_anything_is_built(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop.Workshop, "build", lambda *_: pytest.fail("built"))
    rungs = (Rung("sound", recipe.FULL), Rung("wrong", recipe.FULL, keep=("conv1_con",)))
    what = line.Job(run, tmp_path, replace(RECIPE, rung=rungs), rungs="all")
    with pytest.raises(InputError, match=r"no layer 'conv1_con'.*the nearest: conv1_conv, "):
        compress(what, store)


def test_without_its_package_a_second_opinion_is_left_out_of_all_rungs_and_refused_by_name(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_quantizer, "installed", lambda: False)
    kinds = {"float16": "float16", "other": "ptq-edge"}
    rungs = tuple(Rung(name, recipe.FULL, export=export) for name, export in kinds.items())
    what = line.Job(run, tmp_path, replace(RECIPE, rung=rungs), rungs="all")
    told: list[str] = []
    found = line.compress(what, store, told.append)
    assert [rung.name for rung in found.ladder.rungs] == ["float", "float16"]
    assert told[0].startswith("left out: other: ")
    assert "pip install 'dermkit[second-opinion]'" in told[0]
    for alone in (
        replace(what, rungs="other"),
        replace(what, recipe=replace(RECIPE, rung=rungs[1:])),
    ):
        with pytest.raises(MissingError, match=r"^other: .*pip install") as error:
            compress(alone, store)
        assert error.value.exit_code == 7


def test_moved_photographs_are_named_and_can_be_given_anew(
    run: Path, store: Store, tmp_path: Path
) -> None:
    where = (run / table.RUN_IMAGES).read_text(encoding="utf-8")
    (run / table.RUN_IMAGES).write_text(str(tmp_path / "gone"), encoding="utf-8")
    try:
        with pytest.raises(TableError, match="gone"):
            compress(line.Job(run, tmp_path / "out", RECIPE), store)
        assert table.read(run, Path(where.strip())).rows
    finally:
        (run / table.RUN_IMAGES).write_text(where, encoding="utf-8")


def test_too_few_photographs_for_a_batch_are_refused(
    run: Path, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="fewer than a batch"):
        compress(line.Job(run, tmp_path / "out", replace(RECIPE, batch=1000)), store)


def test_a_share_that_would_leave_layers_empty_is_refused(
    run: Path, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="all but empty"):
        compress(line.Job(run, tmp_path / "out", replace(RECIPE, work=0.001)), store)


@pytest.mark.slow
def test_killed_after_each_step_it_goes_on_from_there(run: Path, tmp_path: Path) -> None:
    own, kept = tmp_path / "own.toml", tmp_path / "kept"
    own.write_text(
        "work = 0.6\nsize = 48\nrounds = 1\nphotographs = 16\nviews = 1\n"
        "[gate]\nmax_auc_drop = 1\nmax_sensitivity_drop = 1\nmax_ece = 1\n"
        '[[rung]]\nname = "slim-distil-qat"\ndistil = 1\n'
    )
    command = [sys.executable, "-m", "dermedge", "compress", str(run), "--recipe", str(own)]
    command += ["--out", str(tmp_path / "out"), "--cache", str(kept)]

    def finished() -> dict[str, int]:
        """Steps that are kept, and when they were written."""
        found = [*kept.glob("compress-*/[!.]*.npz"), *kept.glob("compress-*/[!.]*.tflite")]
        return {path.name: path.stat().st_mtime_ns for path in found}

    before: dict[str, int] = {}
    for steps in (1, 2, 3):  # the full model's file and the slim net; the taught net; ...
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            while child.poll() is None and len(finished()) <= steps:
                time.sleep(0.05)
            child.kill()
        after = finished()
        assert len(after) > len(before)
        assert before.items() <= after.items()
        before = after
    rungs = tmp_path / "out" / line.RUNGS
    rungs.mkdir(parents=True, exist_ok=True)
    (rungs / ".slim-distil-qat.0123.tmp.kit").write_bytes(b"as killed while it was packed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert before.items() <= finished().items()
    assert open_bundle(tmp_path / "out" / line.SMALL).contract.input.height == 48
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
