import csv
import dataclasses
import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dermedge import bundle, cli_compare, compare, contract, image, predictions, table
from dermedge.bundle import open_bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import GateError, InputError, TableError

PLAN = compare.Plan(split="test", threads=1, runs=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 made-up photographs; malignant ones tend to be darker, and one is too small to judge."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        label = "malignant" if i % 3 == 0 else "benign"
        level = rng.normal(120 - 25 * (i % 3 == 0), 25, 3)
        pixels = np.clip(rng.normal(level, 12, (40 if i == 5 else 80, 96, 3)), 0, 255)
        cv2.imwrite(str(folder / f"{i:02}.png"), pixels.astype(np.uint8))
        rows.append(table.Row(f"{i:02}.png", label, table.MADE_UP, split="test" if i else "val"))
    table.write(rows, folder / table.TABLE)
    return folder


@pytest.fixture(scope="module")
def bundles(tiny_bundles):
    return open_bundle(tiny_bundles[0]), open_bundle(tiny_bundles[1])


@pytest.fixture(scope="module")
def found(bundles, photos):
    return compare.compare(bundles[0], bundles[1], table.read(photos), PLAN)


@pytest.fixture(scope="module")
def blind(tiny_bundles, tmp_path_factory):
    """A bundle that sees red as blue: other scores than the float one's."""
    whole = open_bundle(tiny_bundles[0])
    terms = dataclasses.replace(whole.contract, input=contract.Input(48, 48, colour="bgr"))
    path = tmp_path_factory.mktemp("blind") / "blind.kit"
    bundle.pack(path, terms, whole.model, "# Blind\n")
    return path


def run(*arguments):
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command()(cli_compare.compare)
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def relabelled(bundle_of, *labels):
    terms = dataclasses.replace(bundle_of.contract, labels=labels)
    return dataclasses.replace(bundle_of, contract=terms)


def test_both_models_take_the_way_of_diagnose_and_each_file_is_read_once(
    bundles, photos, monkeypatch
):
    part = table.read(photos).part("test")
    judges = [Diagnostician(opened, 1) for opened in bundles]
    expected = [judges[1].diagnose(image.read(part.path(row))) for row in part.rows]
    read, paths = image.read, []
    monkeypatch.setattr(image, "read", lambda path: (paths.append(path), read(path))[1])
    _, small = predictions.predict_together(judges, part)
    assert paths == [part.path(row) for row in part.rows]
    assert small.probabilities.tolist() == [d.probability for d in expected]
    assert small.decisions == tuple(d.verdict.value for d in expected)


def test_only_the_rows_of_the_split_are_measured(found):
    assert (found.full.figures.n, found.full.figures.positives) == (23, 7)
    assert found.setting.split == "test"


def test_a_photograph_that_fails_the_quality_gate_is_counted_and_scored(found):
    assert found.full.not_assessable == found.small.not_assessable == 1
    row = next(row for row in found.rows() if row["image"] == "05.png")
    assert row["decision_float"] == "not assessable"
    assert row["quality_float"].startswith("too small")
    assert 0 < float(row["prob_float"]) < 1


def test_sizes_are_those_of_the_files(found, bundles):
    for measured, opened in zip((found.full, found.small), bundles, strict=True):
        assert measured.sizes.model == len(opened.model)
        assert measured.sizes.bundle == opened.path.stat().st_size
        assert 0 < measured.sizes.zipped < measured.sizes.bundle


def test_the_json_is_whole_and_the_csv_has_a_line_for_each_photograph(found):
    data = json.loads(json.dumps(found.as_dict()))
    assert data["float"]["figures"]["auc"]["value"] == found.full.figures.auc.value
    assert data["small"]["latency"]["n"] == 3
    assert data["made_up"] == "trained and measured on made-up photographs"
    rows = list(csv.DictReader(io.StringIO(compare.to_csv(found.rows()))))
    assert len(rows) == 23
    assert list(rows[0]) == [
        *("image", "label", "positive", "prob_float", "prob_small"),
        *("decision_float", "decision_small", "quality_float", "quality_small", "flip"),
    ]


def test_flips_are_those_at_each_models_own_threshold(found):
    first, second = found.full.predictions, found.small.predictions
    low = dataclasses.replace(first.contract.decision, thresholds={"sensitivity>=0.90": 0.0})
    high = dataclasses.replace(first.contract.decision, thresholds={"sensitivity>=0.90": 1.0})
    said = [
        dataclasses.replace(p, contract=dataclasses.replace(p.contract, decision=rule))
        for p, rule in ((first, low), (second, high))
    ]
    changed = dataclasses.replace(
        found,
        full=dataclasses.replace(found.full, predictions=said[0]),
        small=dataclasses.replace(found.small, predictions=said[1]),
    )
    assert {row["flip"] for row in changed.rows()} == {compare.TO_NEGATIVE}


def test_a_model_may_stand_in_for_itself(bundles, photos):
    found = compare.compare(bundles[0], bundles[0], table.read(photos), PLAN)
    difference = found.difference.interval
    assert (difference.low, difference.value, difference.high) == (0, 0, 0)
    assert found.agreement.share.value == 1
    assert not any(row["flip"] for row in found.rows())
    assert compare.passes(found, 0.0)


def test_the_gate_looks_at_the_lower_bound(found):
    low = found.difference.interval.low
    assert compare.passes(found, abs(low))
    worse = dataclasses.replace(found.difference.interval, low=-0.031)
    worse = dataclasses.replace(
        found, difference=dataclasses.replace(found.difference, interval=worse)
    )
    assert compare.passes(worse, 0.031)
    assert not compare.passes(worse, 0.03)


def test_an_unknown_label_is_named_with_the_known_ones(bundles, photos, tmp_path):
    rows = [dataclasses.replace(row, label="naevus") for row in table.read(photos).rows[:2]]
    table.write([*rows, *table.read(photos).rows[2:]], tmp_path / table.TABLE)
    labelled = table.read(tmp_path / table.TABLE, photos)
    with pytest.raises(TableError, match=r"know the labels naevus; it knows benign, malignant"):
        compare.compare(bundles[0], bundles[1], labelled, compare.Plan("all", 1, 1))


def test_bundles_with_other_classes_are_refused(bundles, photos):
    other = relabelled(
        bundles[1], contract.Label(0, "benign", True), contract.Label(1, "malignant", False)
    )
    with pytest.raises(
        InputError, match=r"malignant \(positive\), .*benign \(positive\), malignant"
    ):
        compare.compare(bundles[0], other, table.read(photos), PLAN)


def test_one_class_is_refused_before_any_photograph_is_judged(bundles, photos, monkeypatch):
    whole = table.read(photos)
    benign = tuple(row for row in whole.rows if row.label == "benign")
    monkeypatch.setattr(image, "read", lambda path: pytest.fail("read a photograph"))
    with pytest.raises(InputError, match="0 of 16 photographs are positive"):
        compare.compare(bundles[0], bundles[1], dataclasses.replace(whole, rows=benign), PLAN)


def test_every_unreadable_photograph_is_counted_and_the_first_are_named(bundles, photos, tmp_path):
    rows = table.read(photos).rows
    for i, row in enumerate(rows):
        data = b"text" if i < 7 else (photos / row.image).read_bytes()
        (tmp_path / row.image).write_bytes(data)
    table.write(rows, tmp_path / table.TABLE)
    with pytest.raises(
        InputError, match=r"7 of 24 photographs can't be read(.|\n)*03\.png(.|\n)*2 more"
    ):
        compare.compare(bundles[0], bundles[1], table.read(tmp_path), compare.Plan("all", 1, 1))


def test_figures_of_one_model(bundles, photos):
    part = table.read(photos).part("test")
    said = compare.predict(Diagnostician(bundles[1], 1), part)
    figures = compare.figures_of(said)
    assert (figures.n, figures.threshold) == (23, 0.4)
    text = compare.figures_table(figures)
    assert f"{figures.auc.value:.3f}" in text
    line = compare.as_json(bundles[1].path, "test", said, figures)
    assert json.loads(json.dumps(line))["auc"]["value"] == figures.auc.value


def test_command_prints_json_and_nothing_else_on_stdout(tiny_bundles, photos, tmp_path):
    out = tmp_path / "report"
    ended = run(*tiny_bundles, "--data", photos, "--out", out, "--runs", 2, "--margin", 1, "--json")
    assert ended.exit_code == 0, ended.exception
    printed = json.loads(ended.stdout)
    assert printed == json.loads((out / "compare.json").read_text())
    assert printed["gate"] == {"margin": 1.0, "passed": True}
    assert str(out / "report.html") in ended.stderr
    assert {path.name for path in out.iterdir()} == {
        "report.html",
        "compare.json",
        "predictions.csv",
    }


def test_command_prints_an_aligned_table_and_a_verdict(tiny_bundles, photos, tmp_path):
    ended = run(*tiny_bundles, "--data", photos, "--out", tmp_path, "--runs", 2)
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["float", "small", "small", "against", "float"]
    assert lines[1].startswith("AUC ")
    assert lines[1].index("(") > lines[0].index("float")
    assert lines[-1].startswith("No margin was asked for.")


def test_a_failed_gate_leaves_the_report_and_then_ends_with_three(
    tiny_bundles, blind, photos, tmp_path
):
    out = tmp_path / "report"
    ended = run(tiny_bundles[0], blind, "--data", photos, "--out", out, "--runs", 2, "--margin", 0)
    assert isinstance(ended.exception, GateError)
    assert ended.exception.exit_code == 3
    assert "may not stand in" in str(ended.exception)
    assert json.loads((out / "compare.json").read_text())["gate"]["passed"] is False
    assert (out / "report.html").is_file()
    assert (out / "predictions.csv").is_file()


def test_a_margin_outside_zero_to_one_is_wrong_usage(tiny_bundles, photos):
    ended = run(*tiny_bundles, "--data", photos, "--margin", -0.1)
    assert ended.exit_code == 2


def test_importing_the_command_is_light():
    code = (
        "import sys, dermedge.cli_compare\n"
        "heavy = {'numpy', 'cv2', 'jinja2', 'matplotlib', 'ai_edge_litert', 'tensorflow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
