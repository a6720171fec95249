import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dermedge import cli_records, crypt, history, pictures
from dermedge.cli_camera import camera as camera_command
from dermedge.errors import InputError, StorageError
from dermedge.image import RGB, read
from dermedge.record import Journal


def kit(*arguments: object, key: str | None = None, answer: str | None = None) -> Result:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(camera_command)
    app.add_typer(cli_records.app, name="records")
    words = [str(each) for each in arguments]
    return CliRunner().invoke(app, words, env={crypt.VARIABLE: key}, input=answer)


@pytest.fixture
def recorded(tiny_bundles: tuple[Path, Path], photo: RGB, tmp_path: Path) -> Path:
    """A record of three judged photographs at the user's threshold, pictures encrypted."""
    pytest.importorskip("cryptography", reason="needs the extra crypt")
    import cv2

    (tmp_path / "photos").mkdir()
    for number in range(40):
        cv2.imwrite(str(tmp_path / "photos" / f"{number:02d}.png"), photo)
    assert kit("records", "key", tmp_path / "my.key").exit_code == 0
    done = kit(
        *("camera", tiny_bundles[0], "--source", tmp_path / "photos", "--fps", 30),
        *("--frames", 3, "--no-window", "--threads", 1, "--threshold", 0.25),
        *("--record", tmp_path / "today.jsonl", "--keep-pictures"),
        *("--key-file", tmp_path / "my.key"),
    )
    assert done.exit_code == 0, done.output
    assert all("threshold 0.250 set by the user" in line for line in done.stdout.splitlines())
    return tmp_path / "today.jsonl"


def test_a_record_carries_what_is_needed_to_trust_it(recorded: Path):
    for number, record in enumerate(history.read(recorded), 1):
        assert record["sequence"] == number
        assert record["time"].endswith("+00:00")
        assert (record["threshold"], record["threshold_by_user"]) == (0.25, True)
        assert "the bundle's 0.400" in record["chosen_for"]
        assert len(record["model"]) == len(record["bundle"]) == 64
        assert record["failed_gate"] is False
        assert record["runtime"].partition(" ")[0] in {"ai-edge-litert", "tflite-runtime"}
        assert {"decision", "probability", "quality", "age_ms", "signature"} <= set(record)
        assert (pictures.beside(recorded) / record["picture"]).is_file()


def test_pictures_come_out_with_the_key_and_only_with_it(
    recorded: Path, tmp_path: Path, photo: RGB
):
    out = tmp_path / "out"
    without = kit("records", "decrypt", recorded, "--out", out)
    assert isinstance(without.exception, InputError)
    assert not out.exists()
    key = (tmp_path / "my.key").read_text()
    assert kit("records", "decrypt", recorded, "--out", out, key=key).exit_code == 0
    names = sorted(path.name for path in out.iterdir())
    assert [name[:12] for name in names] == [f"{n:012d}" for n in (1, 2, 3)]
    assert read(out / names[0]).shape == photo.shape
    one = kit(
        *("records", "decrypt", recorded, "--out", tmp_path / "one"),
        *("--sequence", 2, "--key-file", tmp_path / "my.key"),
    )
    assert "1 pictures" in one.stdout
    none = kit("records", "decrypt", recorded, "--out", out, "--sequence", 9, key=key)
    assert isinstance(none.exception, InputError)


def test_the_newest_records_are_listed_and_the_rest_is_told(recorded: Path):
    found = kit("records", "list", recorded, "--last", 2)
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["2", "3"]
    assert "threshold set by the user" in found.stdout
    assert "3 records, numbers 1 to 3" in found.stderr
    assert "3 decided at a threshold that the user set" in found.stderr
    assert "not a medical device" in found.stderr
    lines = [
        json.loads(text)
        for text in kit("records", "list", recorded, "--json").stdout.split("\n")
        if text
    ]
    assert lines == list(history.read(recorded))


def test_a_terminal_is_not_steered_by_a_record(tmp_path: Path):
    with Journal(tmp_path / "r") as journal:
        journal.append({"decision": "\x1b[2Jrefer\r\n", "time": 5, "probability": "high"})
    found = kit("records", "list", tmp_path / "r")
    assert found.exit_code == 0, found.output
    assert "\x1b" not in found.stdout
    assert len(found.stdout.splitlines()) == 1


def test_one_odd_record_does_not_hide_the_others(tmp_path: Path):
    with Journal(tmp_path / "r") as journal:
        journal.append({"decision": None, "time": "0001-01-01T00:00:00+14:00"})
        journal.append({"decision": ["refer"], "probability": 10**400, "picture": {}})
        journal.append({"decision": "clear", "time": "2026-11-26T00:00:00+00:00"})
    found = kit("records", "list", tmp_path / "r")
    assert found.exit_code == 0, found.exception
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["1", "2", "3"]
    assert "clear" in found.stdout


def test_records_are_exported(recorded: Path, tmp_path: Path):
    found = kit(
        *("records", "export", recorded, "--out", tmp_path / "a.csv", "--since", "2026-01-01"),
        *("--until", "2999-01-01"),
    )
    assert found.exit_code == 0, found.output
    assert found.stdout.strip() == str(tmp_path / "a.csv")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    wrong = kit("records", "export", recorded, "--out", tmp_path / "a.doc")
    assert isinstance(wrong.exception, InputError)
    assert wrong.exception.exit_code == 4


def test_all_of_a_record_is_deleted_once_it_is_confirmed(recorded: Path, tmp_path: Path):
    mine = pictures.beside(recorded) / "mine.jpg"
    mine.write_bytes(b"x")
    assert kit("records", "delete", recorded, answer="n\n").exit_code == 1
    assert len(list(history.read(recorded))) == 3
    with Journal(recorded):
        held = kit("records", "delete", recorded, "--yes")
    assert isinstance(held.exception, StorageError)
    found = kit("records", "delete", recorded, answer="y\n")
    assert "4 files deleted" in found.stdout
    assert not recorded.exists()
    assert list(pictures.beside(recorded).iterdir()) == [mine]
    assert isinstance(kit("records", "delete", recorded, "--yes").exception, InputError)


def test_what_a_killed_camera_left_of_a_picture_is_deleted_too(recorded: Path):
    half = pictures.beside(recorded) / ".000000000004-20261126T083000000000Z.99.tmp.jpg"
    half.write_bytes(b"a lesion")
    assert "5 files deleted" in kit("records", "delete", recorded, "--yes").stdout
    assert not pictures.beside(recorded).exists()
    pictures.beside(recorded).mkdir()
    half.write_bytes(b"a lesion")
    assert "1 file" in kit("records", "delete", recorded, "--yes").stdout
    assert not pictures.beside(recorded).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--keep-pictures",), "--record"),
        (("--record", "r", "--key-file", "k"), "--keep-pictures"),
        (("--threshold", "1.5"), "--threshold"),
    ],
)
def test_options_that_need_each_other_are_wrong_usage_alone(
    tiny_bundles: tuple[Path, Path], options: tuple[str, ...], said: str
):
    found = kit("camera", tiny_bundles[0], "--source", "99", *options)
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_wrong_key_stops_before_the_camera_is_opened(
    tiny_bundles: tuple[Path, Path], tmp_path: Path
):
    found = kit(
        *("camera", tiny_bundles[0], "--source", "99", "--record", tmp_path / "r"),
        "--keep-pictures",
        key="no key",
    )
    assert isinstance(found.exception, InputError)
    assert "no key" not in str(found.exception).replace("holds no key", "")
