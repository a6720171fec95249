import csv
import json
import re
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dermedge import export, pictures
from dermedge.contract import NOTICE
from dermedge.errors import InputError, MissingError, StorageError
from dermedge.record import Journal

TRICKS = '<script>alert("1")</script>', '=HYPERLINK("http://evil")', "@SUM(A1)", "-2+3", "\tx"
DAY = "2026-11-26T{:02d}:00:00.000+00:00"


def line(hour: int, **more: object) -> dict:
    return {
        "time": DAY.format(hour),
        "decision": "refer",
        "probability": 0.81234,
        "smoothed_decision": "uncertain",
        "smoothed_probability": None,
        "threshold": 0.4,
        "chosen_for": "sensitivity>=0.90",
        "threshold_by_user": False,
        "quality": "ok",
        "age_ms": 41.5,
        "model": "ab" * 32,
        "failed_gate": False,
        **more,
    }


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "today.jsonl"
    with Journal(path) as written:
        for hour, trick in enumerate(TRICKS):
            written.append(line(hour, decision=trick, quality=trick))
        written.append(
            line(
                9, threshold_by_user=True, failed_gate=True, signature="unsigned", capture="button"
            )
        )
        written.append({"odd": [1, {"a": None}]})
    with path.open("ab") as torn:
        torn.write(b'{"sequence": 8, "deci')
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_table_holds_every_record_and_no_formula(journal: Path, tmp_path: Path):
    facts = export.write(journal, tmp_path / "out.csv")
    found = rows(tmp_path / "out.csv")
    assert [row["sequence"] for row in found] == [str(n) for n in range(1, 8)]
    assert (facts.records, facts.torn) == (7, 1)
    assert tuple(found[0]) == export.COLUMNS
    assert [row["capture"] for row in found] == [*[""] * 5, "button", ""]
    assert (found[0]["probability"], found[5]["failed_gate"]) == ("0.81234", "true")
    for row, trick in zip(found, TRICKS, strict=False):
        assert row["decision"] == (trick if trick.startswith("<") else f"'{trick}")
    assert not any(re.match(r"[=+\-@\t\r\n]", text) for row in found for text in row.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (-0.5, "-0.5"),
        (3, "3"),
        ("ok", "ok"),
        ("+1", "'+1"),
        ([1, {}], "[1, {}]"),
    ],
)
def test_a_cell_is_text_number_or_empty(value: object, text: str):
    assert export.cell(value) == text


def test_json_is_one_document_that_begins_with_the_notice(journal: Path, tmp_path: Path):
    export.write(journal, tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert next(iter(found)) == "notice"
    assert found["notice"] == NOTICE
    assert [record["sequence"] for record in found["records"]] == list(range(1, 8))
    assert found["records"][6]["odd"] == [1, {"a": None}]
    assert found["facts"]["torn"] == 1
    assert found["facts"]["by_user"] == found["facts"]["failed_gate"] == 1


def test_an_empty_journal_can_be_exported(tmp_path: Path):
    Journal(tmp_path / "r").close()
    for ending in ("csv", "json"):
        export.write(tmp_path / "r", tmp_path / f"out.{ending}")
    assert rows(tmp_path / "out.csv") == []
    assert json.loads((tmp_path / "out.json").read_text())["records"] == []


class Seen(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "srcset", "onload", "onclick"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def test_the_page_begins_with_the_notice_and_runs_nothing(journal: Path, tmp_path: Path):
    pytest.importorskip("jinja2", reason="needs the extra report")
    export.write(journal, tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    seen = Seen(text)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert TRICKS[0] in seen.texts  # as text
    body = text[text.index("<body>") :]
    assert body.index(NOTICE) < body.index("<h1>")
    assert "1 of 7 judgements are of a model that failed its gate." in seen.texts
    assert "1 of 7 judgements were decided at a threshold that the user set." in seen.texts
    assert "1 of 7 judgements are of a model without a trusted signature." in seen.texts
    assert not re.search(r"url\(|@import|https?://(?!evil)", text)


@pytest.mark.parametrize("ending", ["html", "csv", "json"])
def test_one_odd_record_does_not_hide_the_others(tmp_path: Path, ending: str):
    if ending == "html":
        pytest.importorskip("jinja2", reason="needs the extra report")
    odd = {"time": "0001-01-01T00:00:00+14:00", "picture": ["x"], "probability": 10**400}
    with Journal(tmp_path / "r") as journal:
        journal.append(line(1, **odd))
        journal.append(line(2, decision="unmistakable"))
    out = tmp_path / f"out.{ending}"
    assert export.write(tmp_path / "r", out, datetime(1, 1, 1)).records == 1
    assert export.write(tmp_path / "r", out).records == 2
    assert "unmistakable" in out.read_text(encoding="utf-8")
    assert odd["time"] in out.read_text(encoding="utf-8")


def test_the_notice_of_a_failed_model_stands_on_the_page(tmp_path: Path):
    pytest.importorskip("jinja2", reason="needs the extra report")
    with Journal(tmp_path / "r") as journal:
        journal.append(line(1, notice="THIS MODEL FAILED ITS GATE: its AUC is lower."))
    export.write(tmp_path / "r", tmp_path / "out.html")
    assert "FAILED ITS GATE: its AUC" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_a_long_page_shows_the_newest_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("jinja2", reason="needs the extra report")
    monkeypatch.setattr(export, "ROWS", 3)
    folder = pictures.beside(tmp_path / "r")
    folder.mkdir()
    there = "000000000005-20261126T050000000000Z.jpg"
    (folder / there).write_bytes(b"x")
    with Journal(tmp_path / "r") as journal:
        for hour in range(5):
            journal.append(line(hour, picture=there if hour == 4 else "gone.jpg"))
    export.write(tmp_path / "r", tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "The newest 3 of 5" in text
    table = text[text.index('<table class="records">') :]
    assert re.findall(r"<tr><td>(\d+)</td>", table) == ["5", "4", "3"]
    assert re.findall(r">(kept|deleted)</td>", table) == ["kept", "deleted", "deleted"]


def test_a_span_of_time_takes_its_start_and_leaves_its_end(journal: Path, tmp_path: Path):
    since, until = datetime(2026, 11, 26, 2), datetime(2026, 11, 26, 4, tzinfo=timezone.utc)
    export.write(journal, tmp_path / "out.csv", since, until)
    assert [row["sequence"] for row in rows(tmp_path / "out.csv")] == ["3", "4"]
    export.write(journal, tmp_path / "out.csv", since)
    assert [row["sequence"] for row in rows(tmp_path / "out.csv")] == ["3", "4", "5", "6"]


def test_an_export_is_for_its_owner_and_appears_whole_or_not_at_all(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out.csv"
    export.write(journal, out)
    assert out.stat().st_mode & 0o077 == 0
    before = out.read_bytes()

    def full(value: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "cell", full)
    with pytest.raises(StorageError, match="No space left"):
        export.write(journal, out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_what_can_not_be_meant_is_refused(journal: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"\.csv, \.json, \.html"):
        export.write(journal, tmp_path / "out.xlsx")
    with pytest.raises(InputError, match="--record"):
        export.write(tmp_path / "none.jsonl", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    own = tmp_path / "own.json"
    own.write_bytes(journal.read_bytes())
    with pytest.raises(InputError, match="the record itself"):
        export.write(own, own)


def test_a_page_without_jinja2_names_the_extra(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dermedge.page.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"\[report\]"):
        export.write(journal, tmp_path / "out.html")
    export.write(journal, tmp_path / "out.csv")
