import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import cli
from dermedge.bundle import open_bundle
from dermedge.decide import decide, positive_probability
from dermedge.diagnose import Diagnostician
from dermedge.prepare import prepare

KIT = Path(sys.executable).with_name("kit")
KEYS = {"image", "probability", "decision", "threshold", "quality", "latency_ms"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


Kit = Callable[..., Done]


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Iterator[Kit]:
    """`kit …` within this process."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["kit", *map(str, words)])
        with pytest.raises(SystemExit) as told:
            cli.main()
        done = Done(told.value.code or 0, *capsys.readouterr())  # type: ignore[arg-type]
        assert "Traceback" not in done.err
        return done

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """a.png, b.jpg, c.png."""
    found = tmp_path / "photos"
    found.mkdir()
    for name, step in (("a.png", 1), ("b.jpg", 2), ("c.png", 3)):
        cv2.imwrite(str(found / name), (photo // step)[..., ::-1])
    return found


def installed(*words: object) -> Done:
    """`kit …` as it is installed, in a process of its own."""
    done = subprocess.run([KIT, *map(str, words)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def small(tiny_bundles: tuple[Path, Path]) -> Path:
    return tiny_bundles[1]


def test_a_diagnosis_is_what_its_parts_say(small: Path, photo: np.ndarray):
    opened = open_bundle(small)
    judge = Diagnostician(opened, 1)
    found = judge.diagnose(photo)
    terms = opened.contract
    logits = judge.classifier.scores(prepare(photo, terms.input))
    expected = positive_probability(logits, terms.calibration.temperature, terms.positive)
    np.testing.assert_array_equal(found.outputs.scores, logits)
    assert found.probability == pytest.approx(float(expected))
    assert sum(found.probabilities) == pytest.approx(1)
    assert found.verdict is decide(found.probability, terms.decision, found.quality.ok)
    assert found.latency_ms > 0


def test_the_installed_command_prints_one_json_object_a_line_and_nothing_else(
    small: Path, folder: Path
):
    done = installed("diagnose", small, folder, "--json")
    assert done.code == 0
    assert [Path(line["image"]).name for line in done.lines] == ["a.png", "b.jpg", "c.png"]
    for line in done.lines:
        assert set(line) >= KEYS
        assert 0 <= line["probability"] <= 1
        assert line["threshold"] == 0.4
        assert line["latency_ms"] > 0
        assert line["decision"] in ("refer", "clear", "uncertain", "not assessable")
    assert "Research software, not a medical device" in done.err
    assert "made-up" in done.err


def test_a_bad_file_among_good_ones_gets_its_own_line_and_the_others_go_on(
    small: Path, folder: Path
):
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:-300])
    done = installed("diagnose", small, folder, "--json")
    assert done.code == 4
    first, bad, last = done.lines
    assert set(bad) == {"image", "error"}
    assert "cut off" in bad["error"]
    assert set(first) == set(last) >= KEYS
    assert "1 of 3 photographs could not be judged" in done.err


def test_the_text_says_decision_threshold_and_quality(kit: Kit, small: Path, folder: Path):
    (folder / "b.jpg").write_text("this is no photograph")
    done = kit("diagnose", small, folder)
    first, bad, _ = done.out.splitlines()
    assert "(threshold 0.400 for sensitivity>=0.90; quality: " in first
    assert bad.startswith("error ")
    assert done.code == 4


def test_the_same_photograph_gets_the_same_probability_in_every_run(
    kit: Kit, small: Path, folder: Path
):
    runs = [kit("diagnose", small, folder, "--json", "--threads", n).lines for n in (1, 2, 1)]
    probabilities = [[line["probability"] for line in lines] for lines in runs]
    assert probabilities[0] == probabilities[1] == probabilities[2]


def test_one_pixel_is_not_assessable(kit: Kit, small: Path, tmp_path: Path):
    path = tmp_path / "pixel.png"
    cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8))
    done = kit("diagnose", small, path, "--json")
    (line,) = done.lines
    assert line["decision"] == "not assessable"
    assert "too small: 1 pixels" in line["quality"]
    assert done.code == 0


def test_a_photograph_that_is_absent_is_an_error_line(kit: Kit, small: Path, tmp_path: Path):
    done = kit("diagnose", small, tmp_path / "absent.jpg", "--json")
    assert "can't be read: No such file" in done.lines[0]["error"]
    assert done.code == 4


def test_an_empty_folder_is_an_error(kit: Kit, small: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = kit("diagnose", small, tmp_path / "empty", "--json")
    assert (done.code, done.out) == (4, "")
    assert "holds no photographs" in done.err


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, lambda p: p.write_bytes(b"PK")])
def test_a_bundle_that_is_none_is_an_error(kit: Kit, folder: Path, tmp_path: Path, make: Callable):
    make(tmp_path / "small.kit")
    done = kit("diagnose", tmp_path / "small.kit", folder, "--json")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("kit: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["--threads", "0"], ["--threads", "many"], ["--nonsense"], ["--threads"]]
)
def test_wrong_usage_ends_with_2(kit: Kit, small: Path, folder: Path, words: list[str]):
    assert kit("diagnose", small, folder, *words).code == 2


def test_the_order_of_photographs_and_folders_is_kept(kit: Kit, small: Path, folder: Path):
    done = kit("diagnose", small, folder / "c.png", folder, folder / "a.png", "--json")
    names = [Path(line["image"]).name for line in done.lines]
    assert names == ["c.png", "a.png", "b.jpg", "c.png", "a.png"]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_file_name_that_is_no_text_is_no_error(small: Path, folder: Path, more: list[str]):
    (folder / "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    done = installed("diagnose", small, folder, *more)
    assert done.code == 0
    assert len(done.out.splitlines()) == 3
    assert "caf\\udce9.png" in done.out


def test_a_reader_that_goes_away_is_no_traceback(small: Path, folder: Path):
    with subprocess.Popen(
        [KIT, "diagnose", small, *[folder] * 400, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        json.loads(running.stdout.readline())
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()
    assert running.returncode == 1  # Typer's own way with a broken pipe


def test_control_c_stops_cleanly(small: Path, folder: Path):
    with subprocess.Popen(
        [KIT, "diagnose", small, *[folder] * 4000, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    for line in out.splitlines():
        json.loads(line)


def test_real_photographs_are_judged(kit: Kit, small: Path, real_data: Path):
    names = ("ISIC_0000000.jpg", "ISIC_0000001.jpg", "ISIC_0000003.jpg")
    images = [real_data / "isic2017" / "images" / name for name in names]
    done = kit("diagnose", small, *images, "--json")
    assert done.code == 0
    assert len(done.lines) == 3
