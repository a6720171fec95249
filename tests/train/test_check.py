"""kit data check: each fault is found, by name, and nothing else; the page shows it."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import contract, image, table
from dermedge.errors import TableError
from dermedge.table import Row, Table
from dermtrain import check_page, check_words, inventory, synthetic
from dermtrain.check import Check, check, refuse_errors
from dermtrain.findings import (
    KINDS,
    NEAR,
    SAME_FILE,
    TORN_DUPLICATES,
    TORN_LESION,
    TORN_PATIENT,
    TWO_LABELS_FILE,
    TWO_LABELS_LESION,
    TWO_LABELS_NEAR,
    UNREADABLE,
    Kind,
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Twelve pictures that look all different, each of its own lesion: nothing is wrong."""
    folder = tmp_path_factory.mktemp("clean")
    made = table.read(synthetic.make_set(folder / "made", 40, size=128).parent)
    firsts = list({row.lesion_id: row for row in made.rows}.values())
    rows = []
    for number, row in enumerate(firsts[:12]):
        label = "malignant" if number % 3 == 0 else "benign"
        split = ("train", "val", "test")[number // 4]
        path = folder / f"p{number:02d}.png"
        cv2.imwrite(str(path), image.read(made.path(row))[:, :, ::-1])
        rows.append(Row(path.name, label, "", f"P{number}", f"L{number}", split, "CC0-1.0"))
    assert len(rows) == 12
    return Table(folder / "labels.csv", folder, tuple(rows))


def _with(clean: Table, folder: Path, **changes: dict[int, Row]) -> Table:
    """The clean set beside which `folder` may hold more pictures."""
    for row in clean.rows:
        (folder / row.image).write_bytes(clean.path(row).read_bytes())
    return replace(clean, source=folder / "labels.csv", root=folder)


def _change(table: Table, number: int, **values: object) -> Table:
    rows = list(table.rows)
    rows[number] = replace(rows[number], **values)  # type: ignore[arg-type]
    return replace(table, rows=tuple(rows))


def _add(table: Table, source: int, name: str, **values: object) -> Table:
    """One more row, about a file that the test has put there."""
    unknown = {"patient_id": "", "lesion_id": ""}
    row = replace(table.rows[source], image=name, **{**unknown, **values})  # type: ignore[arg-type]
    return replace(table, rows=(*table.rows, row))


def _found(checked: Check) -> dict[Kind, list[tuple[str, tuple[int, ...]]]]:
    return {
        kind: [(finding.name, finding.rows) for finding in checked.of(kind)]
        for kind in KINDS
        if checked.of(kind)
    }


def _copy(table: Table, number: int, name: str, quality: int = 80) -> None:
    """The picture once more, smaller and as JPEG: not the same file, but nearly the same."""
    pixels = cv2.imread(str(table.path(table.rows[number])))
    assert pixels is not None
    smaller = cv2.resize(pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(table.root / name), smaller, [cv2.IMWRITE_JPEG_QUALITY, quality])


def test_nothing_is_wrong_with_a_clean_set(clean: Table) -> None:
    checked = check(clean)
    assert _found(checked) == {}
    refuse_errors(checked)
    assert check_words.verdict(checked) == "Nothing wrong was found."


@pytest.mark.parametrize("fault", ["text", "cut off", "empty", "gone"])
def test_unreadable_photographs_are_named_and_the_others_are_still_looked_at(
    fault: str, clean: Table, tmp_path: Path
) -> None:
    broken = _with(clean, tmp_path)
    path = broken.path(broken.rows[3])
    content = path.read_bytes()
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes({"text": b"x" * 99, "cut off": content[:900], "empty": b""}[fault])
    checked = check(broken)
    ((name, rows),) = _found(checked)[UNREADABLE]
    assert rows == (3,)
    assert "p03.png" in name
    assert set(_found(checked)) == {UNREADABLE}
    assert checked.scan.readable.sum() == 11
    with pytest.raises(TableError, match=r"unreadable photographs: p03\.png"):
        refuse_errors(checked)
    assert "no picture" in check_page.render(checked)


def test_a_patient_in_two_splits_is_an_error_with_the_list(clean: Table) -> None:
    checked = check(_change(clean, 5, patient_id="P0"))
    assert _found(checked) == {TORN_PATIENT: [("P0", (0, 5))]}
    match = r"patients in two splits: P0: p00\.png \(train\), p05\.png \(val\)"
    with pytest.raises(TableError, match=match):
        refuse_errors(checked)


def test_a_lesion_counts_within_its_patient(clean: Table) -> None:
    assert _found(check(_change(clean, 5, lesion_id="L0"))) == {}
    unknown = _change(_change(clean, 0, patient_id=""), 5, patient_id="", lesion_id="L0")
    assert _found(check(unknown)) == {
        TORN_LESION: [("L0", (0, 5))],
        TWO_LABELS_LESION: [("L0", (0, 5))],
    }


def test_two_in_one_split_or_in_no_split_are_not_torn(clean: Table) -> None:
    assert _found(check(_change(clean, 1, patient_id="P0"))) == {}
    assert _found(check(_change(_change(clean, 5, patient_id="P0"), 0, split=""))) == {}
    assert _found(check(_change(_change(clean, 5, patient_id="P0"), 0, split="fold7"))) == {}


@pytest.mark.parametrize(
    ("split", "label", "kinds"),
    [
        ("train", "malignant", {NEAR}),
        ("train", "benign", {NEAR, TWO_LABELS_NEAR}),
        ("test", "malignant", {NEAR, TORN_DUPLICATES}),
        ("test", "benign", {NEAR, TORN_DUPLICATES, TWO_LABELS_NEAR}),
        ("", "malignant", {NEAR}),
    ],
)
def test_near_duplicates_are_an_error_only_across_splits(
    split: str, label: str, kinds: set[Kind], clean: Table, tmp_path: Path
) -> None:
    more = _with(clean, tmp_path)
    _copy(more, 0, "copy.jpg")
    checked = check(_add(more, 0, "copy.jpg", split=split, label=label))
    assert set(_found(checked)) == kinds
    assert {rows for found in _found(checked).values() for _, rows in found} == {(0, 12)}
    assert all("bits apart" in name for found in _found(checked).values() for name, _ in found)
    assert bool(checked.errors) == (TORN_DUPLICATES in kinds)


@pytest.mark.parametrize(
    ("split", "label", "kinds"),
    [
        ("train", "malignant", {SAME_FILE}),
        ("train", "benign", {SAME_FILE, TWO_LABELS_FILE}),
        ("test", "malignant", {SAME_FILE, TORN_DUPLICATES}),
    ],
)
def test_the_same_file_twice(
    split: str, label: str, kinds: set[Kind], clean: Table, tmp_path: Path
) -> None:
    more = _with(clean, tmp_path)
    (tmp_path / "copy.png").write_bytes((tmp_path / "p00.png").read_bytes())
    checked = check(_add(more, 0, "copy.png", split=split, label=label))
    assert set(_found(checked)) == kinds
    assert bool(checked.errors) == bool(kinds - {SAME_FILE})


def test_the_kits_own_split_never_tears_anything(clean: Table, tmp_path: Path) -> None:
    from dermtrain.split import split

    more = _with(clean, tmp_path)
    for number in range(4):
        _copy(more, number, f"copy{number}.jpg")
        more = _add(more, number, f"copy{number}.jpg", patient_id=f"other {number}")
    for seed in range(6):
        drawn = split(more, 0.25, 0.25, seed, anew=True).table
        assert not check(drawn).errors


def test_sizes_and_colours_are_those_of_the_pixels(clean: Table, tmp_path: Path) -> None:
    more = _with(clean, tmp_path)
    cv2.imwrite(str(tmp_path / "plain.png"), np.full((60, 90, 3), (30, 20, 10), np.uint8))  # BGR
    checked = check(_add(more, 1, "plain.png"))
    assert checked.scan.sizes[12].tolist() == [90, 60]
    assert checked.scan.colours[12].tolist() == [10, 20, 30]
    assert checked.scan.contrasts[12] == 0
    assert inventory.sizes(checked.scan) == {"128 x 128": 12, "90 x 60": 1}
    measures = inventory.measures(checked.scan)
    assert measures["red"]["all"]["min"] == 10
    assert measures["shorter side, pixels"]["malignant"]["median"] == 128
    assert measures["longer side / shorter side"]["all"]["max"] == 1.5
    # Against numpy on the whole pictures: the small copies keep the mean.
    for number, row in enumerate(clean.rows):
        mean = image.read(clean.path(row)).reshape(-1, 3).mean(axis=0)
        assert checked.scan.colours[number] == pytest.approx(mean, abs=0.01)


def test_subgroups_are_counted_by_class_ages_in_bands_and_rare_values_together() -> None:
    ages = ("19", "20", "39", "85.0", "")
    rows = [
        Row(
            f"{i}.jpg",
            "malignant" if i % 2 else "benign",
            attributes={"age": age, "site": f"site {i}"} if age else {"site": "site 0"},
        )
        for i, age in enumerate(ages)
    ]
    many = [Row(f"x{i}.jpg", "benign", attributes={"site": f"rare {i:02d}"}) for i in range(20)]
    found = inventory.subgroups(Table(Path("t.csv"), Path(), tuple(rows)))
    assert found["age"] == {
        "0 to 19": {"benign": 1},
        "20 to 39": {"benign": 1, "malignant": 1},
        "80 or more": {"malignant": 1},
        "unknown": {"benign": 1},
    }
    sites = inventory.subgroups(Table(Path("t.csv"), Path(), (*rows, *many)))["site"]
    assert len(sites) == 13
    assert sites["site 0"] == {"benign": 2}
    assert sum(sum(counts.values()) for counts in sites.values()) == 25
    assert inventory.subgroups(Table(Path("t.csv"), Path(), (Row("a.jpg", "benign"),))) == {}


class _Page(HTMLParser):
    """Sources of the pictures, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [str(values[key]) for key in ("src", "href") if key in values]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def faulty(clean: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of which most things are wrong, and a name to be escaped."""
    folder = tmp_path_factory.mktemp("faulty")
    more = _with(clean, folder)
    _copy(more, 0, "<b>copy.jpg")
    (folder / "same.png").write_bytes((folder / "p01.png").read_bytes())
    (folder / "p02.png").write_text("no picture")
    more = _add(more, 0, "<b>copy.jpg", split="test")
    more = _add(more, 1, "same.png", label="malignant")
    more = _change(more, 7, patient_id="P0", attributes={"sex": "female", "skin_tone": "VI"})
    table.write(more.rows, folder / "labels.csv")
    return folder


def test_the_page_stands_alone_and_shows_the_problems(faulty: Path, tmp_path: Path) -> None:
    checked = check(table.read(faulty))
    page = check_page.write(checked, tmp_path / "out")
    html = page.read_text(encoding="utf-8")
    parsed = _Page()
    parsed.feed(html)
    words = " ".join(parsed.text.split())
    assert contract.NOTICE in words
    assert "Not to be used as it is: unreadable photographs, patients in two splits" in words
    assert "Made-up" not in words
    pictures = [source for source in parsed.sources if source.startswith("data:image/jpeg;base64,")]
    assert len(pictures) >= 7
    assert all(source.startswith(("data:image/jpeg", "#")) for source in parsed.sources)
    for source in pictures:
        data = np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8)
        small = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert small is not None
        assert max(small.shape) <= 160
    assert "<b>copy" not in html
    assert "&lt;b&gt;copy.jpg" in html
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "Skin tone" in words
    figures = json.loads((tmp_path / "out" / "check.json").read_text())
    assert figures["passed"] is False
    counts = {name: kind["count"] for name, kind in figures["findings"].items()}
    assert counts == {
        "unreadable": 1,
        "patient_in_two_splits": 1,
        "lesion_in_two_splits": 0,
        "near_duplicates_in_two_splits": 1,
        "same_file_with_two_labels": 1,
        "near_duplicates_with_two_labels": 0,
        "lesion_with_two_labels": 0,
        "same_file": 1,
        "near_duplicates": 1,
    }
    assert figures["subgroups"]["sex"]["female"] == {"benign": 1}
    torn = figures["findings"]["patient_in_two_splits"]["list"][0]
    assert torn["about"] == "P0"
    assert [p["image"] for p in torn["photographs"]] == ["p00.png", "p07.png"]


def test_made_up_pictures_are_called_so(pictures: Path) -> None:
    html = check_page.render(check(table.read(pictures)))
    assert "Made-up pictures: these figures say nothing about patients" in html


def test_long_lists_are_cut_on_the_page_and_whole_in_the_figures(
    clean: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_page, "FINDINGS", 1)
    monkeypatch.setattr(check_page, "PICTURES", 2)
    torn = clean
    for number, patient in ((4, "P0"), (8, "P0"), (5, "P1")):
        torn = _change(torn, number, patient_id=patient)
    checked = check(torn)
    html = check_page.render(checked)
    assert "The first 1 of 2; all are in check.json" in html
    assert "and 1 more photographs" in html
    found = check_words.as_dict(checked)["findings"]["patient_in_two_splits"]
    assert found["count"] == 2
    assert [len(finding["photographs"]) for finding in found["list"]] == [3, 2]


def _kit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dermedge", "data", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_fails_with_the_list_and_leaves_the_page(faulty: Path, tmp_path: Path) -> None:
    done = _kit(faulty, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "patients in two splits: P0: p00.png (train), p07.png (val)" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"check.html", "check.json"}
    as_json = _kit(faulty, "--json")
    assert as_json.returncode == 4
    assert json.loads(as_json.stdout)["passed"] is False


def test_the_command_is_content_with_a_clean_table(clean: Table, tmp_path: Path) -> None:
    more = _with(clean, tmp_path)
    table.write(more.rows, tmp_path / "labels.csv")
    done = _kit(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Nothing wrong was found" in done.stdout
    assert "12 patients, 12 lesions" in done.stdout


def test_the_real_photographs_given_split_tears_two_lesions(real_data: Path) -> None:
    given_table = table.read(real_data / "isic2017")
    # The two lesions, the near-duplicate pairs, and every twelfth of the others.
    names = {"ISIC_0012290", "ISIC_0013594", "ISIC_0012672", "ISIC_0012673"}
    lesions = {"MSK4_0010026", "MSK4_0010006", "MSK4_0010029"}
    rows = tuple(
        row
        for number, row in enumerate(given_table.rows)
        if number % 12 == 0 or Path(row.image).stem in names or row.lesion_id in lesions
    )
    checked = check(replace(given_table, rows=rows))
    found = _found(checked)
    assert set(found) == {TORN_LESION, NEAR}
    assert {name for name, _ in found[TORN_LESION]} == {"MSK4_0010026", "MSK4_0010006"}
    near = [{Path(rows[i].image).stem for i in numbers} for _, numbers in found[NEAR]]
    assert {"ISIC_0012290", "ISIC_0013594"} in near
    assert {"ISIC_0012672", "ISIC_0012673"} in near
    assert {"ISIC_0012756", "ISIC_0013184"} in near
