"""`kit bundle`, and the installed model in the commands that judge."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dermedge.bundle import open_bundle
from dermedge.cli import app
from dermedge.errors import BundleError, InputError, KitError, MissingError


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    out: str
    err: str
    error: BaseException | None

    @property
    def json(self) -> dict:
        assert self.error is None, self.error
        return json.loads(self.out)

    def failed(self, kind: type[KitError]) -> str:
        assert isinstance(self.error, kind), (self.error, self.out)
        return str(self.error)


Kit = Callable[..., Done]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """`kit …` on a device of its own, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERMKIT_HOME", str(tmp_path / "home"))

    def run(*words: object) -> Done:
        found = CliRunner().invoke(app, [str(word) for word in words])
        error = None if isinstance(found.exception, SystemExit) else found.exception
        return Done(found.stdout, found.stderr, error)

    return run


@pytest.fixture
def work(tmp_path: Path, tiny_bundles: tuple[Path, Path], photo: np.ndarray) -> Path:
    """float.kit, small.kit, photo.png, and what small.kit was packed from."""
    for path in tiny_bundles:
        shutil.copy(path, tmp_path)
    found = open_bundle(tiny_bundles[1])
    found.contract.save(tmp_path / "contract.json")
    (tmp_path / "model.tflite").write_bytes(found.model)
    cv2.imwrite(str(tmp_path / "photo.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    return tmp_path


def test_the_whole_way_from_a_model_file_to_a_device_and_back(kit: Kit, work: Path):
    key = kit("bundle", "keygen", "clinic", "--json").json
    for version, name in enumerate(("first", "second"), 1):
        (work / "card.md").write_text(f"# {name}\n")
        packed = kit(
            *("bundle", "pack", "model.tflite", "contract.json", "--card", "card.md"),
            *("--out", f"{name}.kit", "--json"),
        )
        assert (packed.json["golden"], packed.json["signature"]) == (True, "not checked")
        sealed = kit(
            *("bundle", "sign", f"{name}.kit", "--key", "clinic.pem"),
            *("--release", version, "--json"),
        ).json
        assert (sealed["version"], sealed["fingerprint"]) == (version, key["fingerprint"])
    checked = kit("bundle", "verify", "first.kit", "--key", "clinic.pub", "--json").json
    assert (checked["signature"], checked["version"]) == ("by clinic", 1)
    assert kit("bundle", "trust", "clinic.pub", "--json").json == key
    installed = kit("bundle", "install", "first.kit", "--json").json
    assert installed["check"] == {"vectors": 3, "off": 0.0, "tolerance": 8}
    kit("bundle", "install", "second.kit")
    shown = kit("bundle", "inspect", "installed", "--json").json
    assert (shown["version"], shown["labels"]) == (2, ["benign", "malignant"])
    assert kit("bundle", "rollback", "--json").json["current"]["version"] == 1
    listed = kit("bundle", "list", "--json").json
    assert (listed["current"]["version"], listed["previous"]["version"]) == (1, 2)
    assert listed["keys"] == {"clinic": key["fingerprint"]}
    assert listed["failed_trial"] is False
    seen = kit("diagnose", "installed", "photo.png", "--json").json
    assert seen["signature"] == "by clinic"


def test_the_version_is_the_time_unless_it_is_given(kit: Kit, work: Path):
    kit("bundle", "keygen", "clinic")
    found = kit("bundle", "sign", "small.kit", "--key", "clinic.pem", "--out", "a.kit", "--json")
    assert 20260101000000 < found.json["version"] < 99991231235959
    assert found.json["bundle"] == "a.kit"


def test_figures_are_told_in_words_too(kit: Kit, work: Path):
    kit("bundle", "install", "small.kit", "--allow-unsigned")
    said = kit("bundle", "list").out
    assert "signature unsigned" in said
    assert "previous" in said
    assert "version 0" in said
    assert "none" in said


def test_a_developer_needs_no_key(kit: Kit, work: Path):
    for command in (
        ("diagnose", "small.kit", "photo.png", "--json"),
        ("camera", "small.kit", "--source", "photo.png", "--no-window", "--json"),
    ):
        assert kit(*command).json["signature"] == "not checked"
    assert kit("bundle", "inspect", "small.kit", "--json").json["version"] == 0


@pytest.mark.parametrize(
    "command",
    [
        ("diagnose", "small.kit", "photo.png"),
        ("camera", "small.kit", "--source", "photo.png", "--no-window"),
        ("evaluate", "small.kit", "photos"),
        ("compare", "float.kit", "small.kit", "--data", "photos"),
        ("bundle", "inspect", "small.kit"),
        ("bundle", "verify", "small.kit"),
        ("bundle", "install", "small.kit"),
    ],
)
def test_a_device_with_a_pinned_key_refuses_what_is_unsigned(
    kit: Kit, work: Path, command: tuple[str, ...]
):
    kit("bundle", "keygen", "clinic")
    kit("bundle", "trust", "clinic.pub")
    assert "only clinic is trusted here" in kit(*command).failed(BundleError)


def test_an_explicit_wish_is_shown_in_every_result(kit: Kit, work: Path):
    kit("bundle", "keygen", "clinic")
    kit("bundle", "trust", "clinic.pub")
    kit("bundle", "install", "small.kit", "--allow-unsigned")
    for bundle, flag in (("installed", ()), ("small.kit", ("--allow-unsigned",))):
        diagnose = ("diagnose", bundle, "photo.png", *flag)
        camera = ("camera", bundle, "--source", "photo.png", "--no-window", *flag)
        assert "UNSIGNED MODEL" in kit(*diagnose).out
        assert "this model is unsigned" in kit(*camera).out
        for command in (diagnose, camera):
            assert kit(*command, "--json").json["signature"] == "unsigned"
        kit(*camera, "--record", "today.jsonl")
        assert json.loads(Path("today.jsonl").read_text().splitlines()[-1])["signature"] == (
            "unsigned"
        )
        Path("today.jsonl").unlink()


def test_a_damaged_model_is_told_and_the_one_before_judges(kit: Kit, work: Path):
    kit("bundle", "install", "float.kit", "--allow-unsigned")
    current = kit("bundle", "install", "small.kit", "--allow-unsigned", "--json").json["current"]
    (work / "home" / "slots" / f"{current['sha256']}.kit").write_bytes(b"rotten")
    for command in (
        ("diagnose", "installed", "photo.png"),
        ("camera", "installed", "--source", "photo.png", "--no-window"),
        ("bundle", "inspect", "installed"),
    ):
        done = kit(*command)
        assert done.error is None
        assert "The model before is in use instead" in done.err


def test_verify_without_any_key_says_what_to_do(kit: Kit, work: Path):
    assert "no key is pinned here" in kit("bundle", "verify", "small.kit").failed(BundleError)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("bundle", "pack", "absent", "contract.json", "--out", "a.kit"), InputError),
        (("bundle", "pack", "model.tflite", "absent", "--out", "a.kit"), BundleError),
        (("bundle", "pack", "photo.png", "contract.json", "--out", "a.kit"), BundleError),
        (("bundle", "sign", "small.kit", "--key", "absent"), InputError),
        (("bundle", "trust", "photo.png"), InputError),
        (("bundle", "install", "absent.kit"), BundleError),
        (("bundle", "rollback"), BundleError),
        (("diagnose", "installed", "photo.png"), BundleError),
        (("camera", "installed", "--source", "photo.png", "--no-window"), BundleError),
    ],
)
def test_what_can_not_be_is_one_line_with_its_exit_code(
    kit: Kit, work: Path, command: tuple[str, ...], kind: type[KitError]
):
    text = kit(*command).failed(kind)
    assert "\n" not in text
    assert not (work / "a.kit").exists()


def test_without_the_package_signing_names_the_extra(
    kit: Kit, work: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "dermkit[sign]" in kit("bundle", "keygen", "clinic").failed(MissingError)
    kit("bundle", "install", "small.kit", "--allow-unsigned")
    assert kit("diagnose", "installed", "photo.png", "--json").json["signature"] == "unsigned"


def test_a_switch_is_told_and_the_first_line_of_each_model_carries_its_notice(
    capsys: pytest.CaptureFixture,
):
    from dermedge.cli_tell import News

    def model(name: str) -> SimpleNamespace:
        return SimpleNamespace(sha256=name * 64)

    judge = SimpleNamespace(bundle=model("a"), contract=SimpleNamespace(notice="care"), note="")
    news = News(judge)  # type: ignore[arg-type]
    assert news.tell() == {"notice": "care"}
    assert news.tell() == {}
    judge.bundle, judge.note = model("b"), "odd"
    assert news.tell() == {"notice": "care"}
    assert news.tell() == {}
    judge.note = ""
    news.tell()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "kit: odd"
    assert "bbbb has taken over" in told[1]
    assert "nothing is amiss" in told[2]
    assert len(told) == 3
