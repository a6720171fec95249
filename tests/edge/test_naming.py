"""A bundle without positive classes, all along the device's way: named, uncertain, compared."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dermedge import answer, bundle, compare, contract, page, report, summary, table
from dermedge.bundle import Bundle, open_bundle
from dermedge.cli import app
from dermedge.contract import Contract
from dermedge.decide import Verdict
from dermedge.diagnose import Diagnostician
from dermedge.image import RGB
from dermedge.live import entry, watch

LABELS = (contract.Label(0, "cat", False), contract.Label(1, "dog", False))


class Scripted:
    """A source of these frames, one a judgement."""

    name, interval, skipped = "scripted", 0.0, ()

    def __init__(self, *images: RGB) -> None:
        self.images = iter(images)

    def read(self) -> RGB | None:
        return next(self.images, None)

    def close(self) -> None:
        """Nothing to close."""


def _terms(terms: Contract, threshold: float) -> Contract:
    rule = contract.Decision({"accuracy>=0.90": threshold}, "accuracy>=0.90", (0.0, threshold))
    return replace(terms, labels=LABELS, decision=rule)


@pytest.fixture(scope="module")
def naming(tiny_bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tiny float and int8 models with two classes of which neither is positive."""
    folder = tmp_path_factory.mktemp("naming")
    for path in tiny_bundles:
        whole = open_bundle(path)
        bundle.pack(folder / path.name, _terms(whole.contract, 0.5), whole.model, "# Tiny\n")
    return [folder / path.name for path in tiny_bundles]


@pytest.fixture(scope="module")
def opened(naming: list[Path]) -> Bundle:
    return open_bundle(naming[0])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 made-up photographs; dogs tend to be darker."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    rows = []
    for i in range(24):
        level = random.normal(100 if i % 2 else 150, 40, 3)
        pixels = np.clip(random.normal(level, 12, (70, 80, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), pixels)
        rows.append(table.Row(f"{i:02}.png", ("cat", "dog")[i % 2], table.MADE_UP))
    table.write(rows, folder / table.TABLE)
    return folder


def test_the_top_class_is_named_with_its_probability(opened: Bundle, photo: RGB) -> None:
    found = Diagnostician(opened, 1).diagnose(photo)
    assert found.verdict is Verdict.NAMED
    assert found.probability == max(found.probabilities) >= 0.5
    assert found.decision == ("cat", "dog")[int(np.argmax(found.probabilities))]


def test_below_what_validation_supports_it_is_uncertain(opened: Bundle, photo: RGB) -> None:
    strict = replace(opened, contract=_terms(opened.contract, 1.0))
    found = Diagnostician(strict, 1).diagnose(photo)
    assert (found.verdict, found.decision) == (Verdict.UNCERTAIN, "uncertain")


def test_the_answer_lists_the_top_classes(opened: Bundle, photo: RGB) -> None:
    found = Diagnostician(opened, 1).diagnose(photo)
    path = Path("x.jpg")
    line = json.loads(answer.as_json(path, found, opened.contract))
    assert line["decision"] == found.decision
    assert list(line["top"].values()) == sorted(line["probabilities"].values(), reverse=True)
    text = answer.as_text(path, found, opened.contract)
    assert text.startswith(found.decision)
    assert f"({found.decision} {found.probability:.3f}, " in text
    assert "for accuracy>=0.90" in text


def test_with_positive_classes_the_answer_lists_none(
    tiny_bundles: tuple[Path, Path], photo: RGB
) -> None:
    whole = open_bundle(tiny_bundles[0])
    found = Diagnostician(whole, 1).diagnose(photo)
    assert "top" not in json.loads(answer.as_json(Path("x.jpg"), found, whole.contract))
    assert "(threshold 0.400" in answer.as_text(Path("x.jpg"), found, whole.contract)


def test_the_camera_names_the_class_of_the_mean_probabilities(opened: Bundle, photo: RGB) -> None:
    judge = Diagnostician(opened, 1)
    (sighting,) = watch(Scripted(photo), judge)
    line = entry(sighting, "a runtime 1.0")
    assert line["smoothed_decision"] == line["decision"] == judge.diagnose(photo).decision
    assert sighting.smoothed_probability == pytest.approx(judge.diagnose(photo).probability)


def test_evaluate_prints_how_often_the_top_class_is_right(naming: list[Path], photos: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(naming[1]), str(photos), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    judge = Diagnostician(open_bundle(naming[1]), 1)
    known = table.read(photos)
    from dermedge import image

    right = [
        LABELS[int(np.argmax(judge.diagnose(image.read(known.path(row))).probabilities))].name
        == row.label
        for row in known.rows
    ]
    assert found["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert found["chosen_for"] == "accuracy>=0.90"
    done = CliRunner().invoke(app, ["evaluate", str(naming[1]), str(photos)])
    assert "Among the first three" in done.stdout


@pytest.fixture(scope="module")
def found(naming: list[Path], photos: Path) -> compare.Comparison:
    full, small = map(open_bundle, naming)
    return compare.compare(full, small, table.read(photos), compare.Plan("all", 1, 3))


def test_comparison_counts_top_classes_that_turn_right_or_wrong(found: compare.Comparison) -> None:
    assert found.naming
    flips = [row["flip"] for row in found.rows()]
    assert flips.count(compare.TO_WRONG) == found.agreement.to_negative
    assert flips.count(compare.TO_RIGHT) == found.agreement.to_positive
    full, small = (m.predictions.class_probabilities.argmax(1) for m in (found.full, found.small))
    assert found.agreement.share.value == pytest.approx((full == small).mean())
    assert "positive" not in found.rows()[0]


def test_comparison_gates_on_the_mean_auc(found: compare.Comparison) -> None:
    gap = found.small.figures.auc.value - found.full.figures.auc.value
    assert found.difference.interval.value == pytest.approx(gap)
    assert compare.passes(found, 1.0)
    text = summary.comparison_table(found)
    for words in ("AUC, mean of classes", "Accuracy of the named", "Same top class"):
        assert words in text
    json.dumps(found.as_dict())


def test_report_speaks_of_names_and_not_of_positives(
    found: compare.Comparison, tmp_path: Path
) -> None:
    page.require_installed()
    text = report.write(found, tmp_path, margin=0.5).read_text(encoding="utf-8")
    assert "24 photographs of 2 classes, none of them positive" in text
    assert "lead with the same class" in text
    assert "Naming" in text
    assert "ROC" not in text
    assert "sitive probability" not in text
