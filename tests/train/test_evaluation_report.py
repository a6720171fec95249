"""The full report: page, figures and card of a model that is a formula, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dermedge import predictions as proof
from dermedge import table as tables
from dermedge.bundle import open_bundle
from dermedge.contract import NOTICE, Contract, Label
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.table import Row, Table
from dermtrain.corruptions import NAMES
from dermtrain.evaluate import write_report
from dermtrain.evaluation import judge, report, robustness
from dermtrain.evaluation.judge import Judge, Seen
from dermtrain.evaluation.study import Plan, Study, study

PLAN = Plan(split="all", prevalence=0.02, resamples=120, corruptions=True, sample=30)
N = 80


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Pictures of which the redder ones are rather malignant; two of each patient."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    rows = []
    for i in range(N):
        malignant = i % 5 < 2
        level = np.clip(random.normal(150 if malignant else 110, 35), 20, 235)
        pixels = random.normal((90, 110, level), 9, (64, 72, 3))  # BGR
        cv2.imwrite(str(folder / f"{i:02}.png"), np.clip(pixels, 0, 255).astype(np.uint8))
        attributes = {"sex": "female" if i % 2 else "male", "age": str(20 + i)}
        if i < 4:
            del attributes["sex"]
        label = "malignant" if malignant else "benign"
        rows.append(
            Row(f"{i:02}.png", label, patient_id=f"p{i // 2}", split="test", attributes=attributes)
        )
    tables.write(rows, folder / tables.TABLE)
    return tables.read(folder)


def redness(terms: Contract, path: Path) -> Judge:
    """A model whose logit of the last class grows with the red of the picture."""

    def look(pixels: np.ndarray) -> Seen:
        red = (pixels[..., 0].mean(axis=(1, 2)) - 130) / 20
        others = [np.zeros(len(red))] * (len(terms.labels) - 1)
        logits = np.stack([*others, red], axis=1).astype(np.float32)
        return Seen(logits, (None,) * len(logits))

    return Judge(path, "bundle", terms, look, 1000)


@pytest.fixture(scope="module")
def found(photos: Table, terms: Contract) -> Study:
    return study(redness(terms, Path("red.kit")), photos, PLAN)


@pytest.fixture(scope="module")
def folder(found: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    assert report.write(found, out) == out / "report.html"
    return out


class Page(HTMLParser):
    """Tags that are opened and not closed, and addresses that a browser would fetch."""

    VOID = ("meta", "br", "img", "link", "hr", "input", "path", "use", "rect", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.fetched.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)
        else:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_whole_asks_for_nothing_and_says_what_it_is(folder: Path) -> None:
    text = (folder / report.PAGE).read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    used = set(re.findall(r'(?:href="|url\()#([\w.-]+)', text))
    assert used
    assert {name: page.ids.count(name) for name in used} == dict.fromkeys(used, 1)
    assert text.count(NOTICE.replace("'", "&#39;")) >= 2
    assert "Trained on made-up photographs: these figures say nothing" in text  # terms say so
    for words in (
        "goal: 90 % sensitivity",
        "readers of ISIC 2016",
        "refer none",
        "prevalence of 0.02",
    ):
        assert words in text
    assert text.count("<svg") == 7


def test_what_the_table_does_not_state_is_called_not_evaluated_in_page_and_card(
    folder: Path,
) -> None:
    page, card = ((folder / name).read_text("utf-8") for name in (report.PAGE, report.CARD))
    for name in ("site", "skin tone", "source"):
        assert f"**By {name}**: not evaluated: the table does not state it" in card
        heading = rf"{name.capitalize()}: <span[^>]*>not evaluated: the table does not state it"
        assert re.search(heading, page)
    assert "not stated for 4" in page
    assert "female (n = 38): AUC 0." in card


def test_figures_json_holds_every_figure_of_every_subgroup(folder: Path, found: Study) -> None:
    figures = json.loads((folder / report.FIGURES).read_text("utf-8"))
    labels, p = found.predictions.labels, found.predictions.probabilities
    auc = figures["binary"]["measures"]["auc"]["interval"]
    assert auc["value"] == pytest.approx(roc_auc_score(labels, p), abs=1e-9)
    assert figures["binary"]["auc_delong"]["interval"]["method"] == "DeLong"
    assert figures["binary"]["groups"] == N / 2
    sex = next(a for a in figures["subgroups"] if a["name"] == "sex")
    assert [(g["name"], g["n"]) for g in sex["subgroups"]] == [("female", 38), ("male", 38)]
    female = np.array([r.attributes.get("sex") == "female" for r in found.predictions.table.rows])
    inner = sex["subgroups"][0]["binary"]
    expected = roc_auc_score(labels[female], p[female])
    assert inner["measures"]["auc"]["interval"]["value"] == pytest.approx(expected, abs=1e-9)
    assert set(inner["measures"]) == set(figures["binary"]["measures"])
    young = next(a for a in figures["subgroups"] if a["name"] == "age")["subgroups"][0]
    assert young["binary"]["measures"]["auc"]["interval"] is None
    assert "at least 10 needed" in young["binary"]["measures"]["auc"]["why"]
    assert figures["made_up"] == "trained on made-up photographs"
    assert figures["prevalence"] == 0.02


def test_temperature_is_not_fitted_to_the_photographs_that_are_measured(found: Study) -> None:
    assert found.calibration is not None
    assert found.calibration.temperature == found.judge.contract.calibration.temperature
    logits = found.predictions.logits
    before = 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0]).astype(float)))
    brier = np.mean((before - found.predictions.labels) ** 2)
    assert found.calibration.before.brier == pytest.approx(brier, abs=1e-9)
    assert found.calibration.after.brier != found.calibration.before.brier


def test_card_has_the_headings_and_every_item_with_its_state(folder: Path) -> None:
    card = (folder / report.CARD).read_text("utf-8")
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings[:9] == [
        *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data"),
        *("Training data", "Quantitative analyses", "Ethical considerations"),
        "Caveats and recommendations",
    ]
    items = re.findall(r"^\| (\d+\w?) \| .+ \| ([a-z ]+) \| .*\|$", card, re.MULTILINE)
    tripod = [number for number, _ in items][
        : items.index(next(i for i in items if i[0] == "27c")) + 1
    ]
    assert {int(re.sub(r"\D", "", number)) for number in tripod} == set(range(1, 28))
    assert len(tripod) == len(set(tripod)) == 52
    states = {state for _, state in items}
    assert states <= {"reported", "partly", "not known", "not done", "not applicable"}
    assert NOTICE in card
    assert "- **Authors and contact**: not known" in card


def test_every_corruption_is_measured_on_the_same_sample(found: Study) -> None:
    spoilt = found.robustness
    assert spoilt is not None
    assert len(spoilt.cells) == 5 * len(NAMES) == 75
    assert 28 <= spoilt.n <= 32
    assert set(spoilt.clean.figures) == {"auc", "sensitivity", "ece"}
    for cell in spoilt.cells:
        assert cell.auc_change is not None
        change = cell.figures["auc"] - spoilt.clean.figures["auc"]
        assert cell.auc_change.value == pytest.approx(change, abs=1e-9)
    dark = [c for c in spoilt.cells if c.name == "brightness_down"]
    assert dark[-1].figures["sensitivity"] < spoilt.clean.figures["sensitivity"]


def test_a_seed_gives_the_same_figures(photos: Table, terms: Contract, found: Study) -> None:
    again = study(redness(terms, Path("red.kit")), photos, PLAN)
    assert again.binary == found.binary
    assert again.robustness == found.robustness


@pytest.mark.tensorflow
def test_views_are_averaged_before_the_temperature(photos: Table, terms: Contract) -> None:
    red = redness(terms, Path("red.kit"))

    def left(pixels: np.ndarray) -> Seen:
        return red.look(pixels[:, :, : pixels.shape[2] // 2])

    half = dataclasses.replace(red, look=left)
    two = judge.predict(half, photos, views=2)
    one = judge.predict(red, photos)
    np.testing.assert_allclose(two.logits, one.logits, atol=1e-5)  # both halves: the whole


def test_bundle_gives_what_kit_diagnose_gives(
    photos: Table, tiny_bundles: tuple[Path, Path]
) -> None:
    doctor = Diagnostician(open_bundle(tiny_bundles[1]))
    expected = proof.predict(doctor, photos)
    found = judge.predict(judge.of_bundle(tiny_bundles[1]), photos)
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-12)
    assert found.decisions == expected.decisions
    assert found.quality == expected.quality


def test_classes_without_a_positive_one_have_no_binary_figures_but_their_own(
    photos: Table, terms: Contract, tmp_path: Path
) -> None:
    labels = tuple(Label(i, name, False) for i, name in enumerate(("benign", "nevus", "malignant")))
    plain = dataclasses.replace(terms, labels=labels)
    rows = [
        dataclasses.replace(row, label="nevus") if i % 5 == 4 else row
        for i, row in enumerate(photos.rows)
    ]
    table = Table(photos.source, photos.root, tuple(rows))
    plan = dataclasses.replace(PLAN, sample=15)
    found = study(redness(plain, Path("seven.kit")), table, plan)
    assert found.binary is None
    assert found.classes is not None
    assert found.robustness is not None
    assert set(found.robustness.clean.figures) == {"auc", "balanced", "ece"}
    report.write(found, tmp_path)
    text = (tmp_path / report.PAGE).read_text("utf-8")
    assert "No class of this model counts as positive" in text
    assert "Confusion matrix" in text
    assert "Operating points" not in text
    figures = json.loads((tmp_path / report.FIGURES).read_text("utf-8"))
    assert figures["binary"] is None
    assert figures["prevalence"] is None
    assert len(figures["classes"]["confusion"]) == 3


def test_several_classes_with_a_positive_one_have_both(
    photos: Table, terms: Contract, tmp_path: Path
) -> None:
    labels = (Label(0, "benign", False), Label(1, "nevus", False), Label(2, "malignant", True))
    found = study(
        redness(dataclasses.replace(terms, labels=labels), Path("three.kit")),
        photos,
        dataclasses.replace(PLAN, corruptions=False),
    )
    assert found.binary is not None
    assert found.classes is not None
    assert found.classes.classes[1].auc is None
    report.write(found, tmp_path)
    text = (tmp_path / report.PAGE).read_text("utf-8")
    assert "Operating points" in text
    assert "Confusion matrix" in text
    assert "Not evaluated: ask for it with --corruptions." in text


def test_photographs_that_the_model_learnt_from_are_told(
    photos: Table, terms: Contract, tmp_path: Path
) -> None:
    own = Table(
        photos.source,
        photos.root,
        tuple(
            dataclasses.replace(row, split="train" if i < 7 else "test")
            for i, row in enumerate(photos.rows)
        ),
    )
    plan = dataclasses.replace(PLAN, corruptions=False)
    found = study(redness(terms, Path("red.kit")), photos, plan, own)
    assert found.learnt == 7
    report.write(found, tmp_path)
    for name in (report.PAGE, report.CARD):
        assert "7 of these photographs bear the name of one" in (tmp_path / name).read_text("utf-8")


def test_report_of_a_bundle_as_the_command_writes_it(
    photos: Table, tiny_bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    found = write_report(
        tiny_bundles[0], photos.root, "test", None, tmp_path / "out", resamples=100, seed=3
    )
    assert len(found.table.rows) == N
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        *("card.md", "figures.json", "report.html"),
    ]
    figures = json.loads((tmp_path / "out" / report.FIGURES).read_text("utf-8"))
    assert figures["learnt_from"] is None
    assert figures["plan"]["seed"] == 3


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, 1.5])
def test_a_prevalence_that_is_none_is_refused(prevalence: float) -> None:
    with pytest.raises(InputError, match="prevalence between 0 and 1"):
        Plan(prevalence=prevalence)


def test_bundle_without_data_asks_for_some(tiny_bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kit evaluate BUNDLE DATA"):
        write_report(tiny_bundles[0], None, "test", None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sample_under_corruptions_keeps_every_class(photos: Table) -> None:
    rows = [
        dataclasses.replace(row, label="rare") if i == 3 else row
        for i, row in enumerate(photos.rows)
    ]
    drawn = robustness._draw(Table(photos.source, photos.root, tuple(rows)), 10, 0)
    assert drawn.classes == ("benign", "malignant", "rare")
    assert len(drawn.rows) <= 12
