import signal
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermedge import bundle, cli, contract, heatmap, image, lettering, sheet, window
from dermedge.bundle import open_bundle
from dermedge.contract import Contract
from dermedge.diagnose import Diagnosis, Diagnostician
from dermedge.errors import ImageError, InputError

FIXTURES = Path(__file__).parent.parent / "fixtures"
EXIF = b"\xff\xe1\x00\x18Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00SECRET"
Kit = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, terms: Contract) -> Path:
    """A bundle of a tiny model that also gives a map."""
    kinds = {"scores": "logits", "map": "map", "embedding": "embedding"}
    own = replace(terms, outputs=tuple(contract.Output(*each) for each in kinds.items()))
    path = tmp_path_factory.mktemp("whole") / "whole.kit"
    bundle.pack(path, own, (FIXTURES / "whole_float.tflite").read_bytes(), "# Tiny\n\nmade-up\n")
    return path


@pytest.fixture
def judge(whole: Path) -> Diagnostician:
    return Diagnostician(open_bundle(whole), threads=1)


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Iterator[Kit]:
    """`kit diagnose …` within this process: exit code and standard error."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kit", "diagnose", "--allow-unsigned", *map(str, words)])
        with pytest.raises(SystemExit) as told:
            cli.main()
        return int(told.value.code or 0), capsys.readouterr().err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def jpeg(picture: np.ndarray) -> bytes:
    data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data[:2] + EXIF[:4] + EXIF[4:].ljust(0x16, b"\0") + data[2:]


def test_photograph_and_overlay_stand_side_by_side(judge: Diagnostician, photo: np.ndarray):
    found = judge.diagnose(photo)
    drawn = sheet.draw(photo, found)
    shown = window.fitted(photo, (560, 560))
    evidence = heatmap.evidence(found.outputs, judge.contract)
    assert evidence is not None
    height, wide = shown.shape[:2]
    for left, part in ((20, shown), (600, heatmap.overlay(shown, evidence, judge.contract.input))):
        np.testing.assert_array_equal(drawn[98 : 98 + height, left : left + wide], part)
    assert tuple(drawn[2, 2]) == window.COLOURS[found.verdict]


def test_verdict_legend_remark_and_notice_are_written_within_the_picture(
    judge: Diagnostician, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    written: list[str] = []

    def note(
        canvas: np.ndarray, text: str, at: tuple[int, int], font: int, scale: float, *_: object
    ):
        assert at[0] + lettering.width(text, scale) <= canvas.shape[1]
        assert at[1] < canvas.shape[0]
        written.append(text)

    monkeypatch.setattr(lettering.cv2, "putText", note)
    found = judge.diagnose(photo)
    found = replace(found, bundle=replace(found.bundle, signature="unsigned"))
    sheet.draw(photo, found)
    assert written[0] == f"{found.decision.upper()}  {found.probability:.2f}"
    assert {
        "what speaks for and against malignant",
        "against malignant",
        "for malignant",
        "quality: ok",
        "this model is unsigned",
        window.NOTICE,
    } <= set(written)
    assert any("-8 to +8 log-odds" in text for text in written)


def test_a_model_without_a_map_is_refused_before_anything_is_judged(
    terms: Contract, photo: np.ndarray, judge: Diagnostician, tmp_path: Path
):
    asked: Iterator[tuple[Path, Diagnosis | ImageError]] = iter([(Path("a"), ImageError("x"))])
    with pytest.raises(InputError, match="leave --heatmap out"):
        next(sheet.each(asked, tmp_path, terms))
    assert next(asked, None) is not None
    bare = judge.diagnose(photo)
    bare = replace(bare, outputs=replace(bare.outputs, map=None))
    with pytest.raises(InputError, match="no class-activation map"):
        sheet.draw(photo, bare)


def test_kit_diagnose_writes_a_sheet_for_each_photograph(
    kit: Kit, whole: Path, photo: np.ndarray, tmp_path: Path
):
    for name in ("a/mole.jpg", "b/mole.jpg", "b/ö .. $(rm).jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(photo))
    (tmp_path / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "maps"
    code, told = kit(whole, tmp_path / "a", tmp_path / "b", "--heatmap", out)
    assert code == 4, told  # of the one that is broken
    names = sorted(path.name for path in out.iterdir())
    assert names == ["0001-mole.jpg", "0003-mole.jpg", "0004-_ .. $(rm).jpg".translate(_SAFE)]
    for path in out.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        data = path.read_bytes()
        assert b"Exif" not in data
        assert b"SECRET" not in data
        assert image.decode(data, path.name).shape[1] == 1180


def test_kit_diagnose_says_that_a_model_has_no_map(
    kit: Kit, tiny_bundles: tuple[Path, Path], photo: np.ndarray, tmp_path: Path
):
    (tmp_path / "a.jpg").write_bytes(jpeg(photo))
    code, told = kit(tiny_bundles[0], tmp_path / "a.jpg", "--heatmap", tmp_path / "maps")
    assert code == InputError.exit_code
    assert "no class-activation map" in told
    assert not (tmp_path / "maps").exists()


_SAFE = str.maketrans(dict.fromkeys(" $()", "_"))
