"""The edge package on an emulated 64-bit Raspberry Pi OS, see emulate.sh; `make pi` runs it.

KIT_BUNDLES names a folder with float.kit and small.kit; without it the tiny models judge.
KIT_PI_PHOTOS is how many photographs `kit diagnose` judges on both machines, KIT_PI_PROOF how many
`kit compare` is given: a full ResNet50 takes a minute of processor time for each in the emulator.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dermedge import bundle, contract, golden
from dermedge.wheelhouse import NOTE, Target, collect

EMULATE = Path(__file__).with_name("emulate.sh")
NEEDS = ("debootstrap", "qemu-aarch64-static", "update-binfmts", "unshare")
KIT, OLD, LEAN = "/opt/dermkit/bin", "/opt/old/bin", "/opt/lean/bin"
MAX_MB = 250


def lacks() -> str:
    """Why there can be no emulated Pi here; empty if there can."""
    if os.environ.get("KIT_PI") != "1":
        return "takes many minutes: set KIT_PI=1"
    absent = [name for name in NEEDS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found: debootstrap, qemu-user-static, binfmt-support"
    return "" if os.geteuid() == 0 else "needs root"


pytestmark = pytest.mark.skipif(bool(lacks()), reason=lacks())


@dataclass(frozen=True, slots=True)
class Pi:
    """The device: `folder`/work is its home."""

    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(EMULATE), "run", str(self.folder), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
        return done

    def kit(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(f"{KIT}/kit", *words, code=code)

    def megabytes(self, environment: str) -> float:
        """What an environment takes of the card, in blocks."""
        return int(self.run("du", "-sB1", environment).stdout.split()[0]) / 1e6


@dataclass(frozen=True, slots=True)
class Here:
    """This machine, with the same files under the same names."""

    folder: Path

    def kit(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dermedge", *words]
        home = {**os.environ, "DERMKIT_HOME": "home-of-here"}
        done = subprocess.run(command, cwd=self.folder, env=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done


@pytest.fixture(scope="session")
def bundles(tiny_bundles: tuple[Path, Path]) -> tuple[Path, Path]:
    """float.kit and small.kit: real ones, or the tiny ones."""
    folder = os.environ.get("KIT_BUNDLES")
    return (Path(folder) / "float.kit", Path(folder) / "small.kit") if folder else tiny_bundles


@pytest.fixture(scope="session")
def pi(tmp_path_factory: pytest.TempPathFactory, bundles: tuple[Path, Path], real_data: Path) -> Pi:
    """A device on which the line of INSTALL.txt was run, without a network."""
    subprocess.run([EMULATE, "make"], check=True)
    device = Pi(tmp_path_factory.mktemp("pi"))
    device.work.mkdir()
    for path in bundles:
        shutil.copy(path, device.work)
    photographs(device.work / "photos", real_data, int(os.environ.get("KIT_PI_PHOTOS") or 12))
    photographs(device.work / "proof", real_data, int(os.environ.get("KIT_PI_PROOF") or 4))
    wheels = device.work / "wheels"
    collect(wheels, Target(extras=("sign",)), None, lambda name: None)
    device.run("sh", "-c", f"cd wheels && {line_of(wheels)}")
    return device


@pytest.fixture(scope="session")
def here(pi: Pi) -> Here:
    return Here(pi.work)


@pytest.fixture(scope="session")
def old(pi: Pi) -> Pi:
    """The same device with tflite-runtime in an environment of its own, and no LiteRT there."""
    wheels = pi.work / "wheels-tflite"
    collect(wheels, Target(extras=("tflite",)), own_wheel(pi), lambda name: None)
    pip = [f"{OLD}/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-compile"]
    pip += ["--find-links", wheels.name]
    pi.run("python3", "-m", "venv", "/opt/old")
    pi.run(*pip, "tflite-runtime", "numpy", "opencv-python-headless", "typer")
    pi.run(*pip, "--no-deps", "dermkit-edge")
    return pi


def own_wheel(pi: Pi) -> Path:
    return next((pi.work / "wheels").glob("dermkit_edge-*.whl"))


def line_of(wheels: Path) -> str:
    """The line that INSTALL.txt gives; root needs no sudo."""
    text = (wheels / NOTE).read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("sudo python3")]
    return line.replace("sudo ", "")


def photographs(folder: Path, source: Path, number: int) -> None:
    """A labelled folder of real ones, half of them malignant, spread over the whole set."""
    with (source / "isic2017" / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen = []
    for label in ("benign", "malignant"):
        of_label = [row for row in rows if row["label"] == label]
        chosen += of_label[:: len(of_label) // (number // 2)][: number // 2]
    (folder / "images").mkdir(parents=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, ["image", "label", "split"], extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, "split": "test"} for row in chosen)
    for row in chosen:
        shutil.copy(source / "isic2017" / row["image"], folder / "images")


def judgements(text: str) -> list[dict]:
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if "probability" in line]


def assert_same(found: Sequence[dict], expected: Sequence[dict]) -> None:
    """Equal decisions, probabilities within what a self-check allows a device."""
    assert [line["decision"] for line in found] == [line["decision"] for line in expected]
    off = [
        256 * abs(a["probability"] - b["probability"]) for a, b in zip(found, expected, strict=True)
    ]
    print(f"{len(off)} photographs: {max(off):.2f} steps of 1/256 at most")
    assert max(off) <= golden.TOLERANCE


def test_it_installs_without_a_network_and_without_tensorflow(pi: Pi) -> None:
    listed = pi.run(f"{KIT}/python", "-m", "pip", "list", "--format", "json").stdout
    names = {found["name"].lower() for found in json.loads(listed)}
    assert {"dermkit-edge", "ai-edge-litert", "cryptography"} <= names
    assert [name for name in names if "tensorflow" in name or "keras" in name] == []
    assert pi.run("uname", "-m").stdout == "aarch64\n"


def test_doctor_finds_no_fault(pi: Pi) -> None:
    found = json.loads(pi.kit("doctor", "--json").stdout)
    assert [finding for finding in found if finding["fault"]] == []


def test_photographs_are_judged_as_on_this_machine(pi: Pi, here: Here) -> None:
    words = ("diagnose", "small.kit", "photos/images", "--json")
    expected = judgements(here.kit(*words).stdout)
    assert len(expected) >= 2
    assert_same(judgements(pi.kit(*words).stdout), expected)


def test_a_folder_in_place_of_a_camera_is_judged_as_its_photographs_are_here(
    pi: Pi, here: Here
) -> None:
    """What comes while the device judges is dropped, so that each run judges other frames."""
    photos = judgements(here.kit("diagnose", "small.kit", "photos/images", "--json").stdout)
    words = ("--source", "photos/images", "--fps", "1", "--no-window", "--json")
    frames = judgements(pi.kit("camera", "small.kit", *words).stdout)
    assert len(frames) >= 2
    assert_same(frames, [photos[line["frame"] - 1] for line in frames])


def test_a_signed_model_is_installed_updated_and_rolled_back(pi: Pi, here: Here) -> None:
    here.kit("bundle", "keygen", "clinic")
    for number in (1, 2):
        out = ("--release", str(number), "--out", f"small-{number}.kit")
        here.kit("bundle", "sign", "small.kit", "--key", "clinic.pem", *out)
    (pi.work / "clinic.pem").unlink()
    pi.kit("bundle", "trust", "clinic.pub")
    pi.kit("bundle", "install", "small.kit", code=5)  # nobody signed it
    for number in (1, 2):
        pi.kit("bundle", "install", f"small-{number}.kit")
    pi.kit("bundle", "install", "small-1.kit", code=5)  # older than what is known
    assert [slot["version"] for slot in slots(pi)] == [2, 1]
    photo = next((pi.work / "photos" / "images").iterdir())
    words = ("diagnose", "installed", f"photos/images/{photo.name}", "--json")
    (line,) = judgements(pi.kit(*words).stdout)
    assert line["signature"] == "by clinic"
    pi.kit("bundle", "rollback")
    assert [slot["version"] for slot in slots(pi)] == [1, 2]
    (again,) = judgements(pi.kit(*words).stdout)
    assert again["probability"] == line["probability"]


def slots(pi: Pi) -> Sequence[dict]:
    found = json.loads(pi.kit("bundle", "list", "--json").stdout)
    return [found["current"], found["previous"]]


def test_an_operation_newer_than_the_runtime_is_named(old: Pi, terms: contract.Contract) -> None:
    """Version 8 of CONV_2D: this LiteRT knows it, tflite-runtime 2.14 knows 7."""
    flatbuffer = pytest.importorskip("dermcompress.flatbuffer")
    tiny = Path(__file__).parents[1] / "fixtures" / "tiny_float.tflite"
    model = flatbuffer.read(tiny.read_bytes())
    for code in model.operatorCodes:
        if flatbuffer.operation_name(code) == "CONV_2D":
            code.version = 8
    bundle.pack(old.work / "new.kit", terms, flatbuffer.write(model), "# New\n\nmade-up\n")
    photo = next((old.work / "photos" / "images").iterdir())
    words = ("diagnose", "new.kit", f"photos/images/{photo.name}", "--home", "empty")
    old.kit(*words)
    said = old.run(f"{OLD}/kit", *words, code=5).stderr
    assert "tflite-runtime 2.14.0" in said
    assert "CONV_2D" in said
    assert "Traceback" not in said


def test_tflite_runtime_judges_as_litert_does(old: Pi, here: Here) -> None:
    found = json.loads(old.run(f"{OLD}/kit", "doctor", "--json").stdout)
    assert "tflite-runtime 2.14.0" in [finding["says"] for finding in found]
    words = ("diagnose", "small.kit", "photos/images", "--json", "--home", "empty")
    expected = judgements(here.kit(*words).stdout)
    assert_same(judgements(old.run(f"{OLD}/kit", *words).stdout), expected)


def test_a_lean_environment_stays_small_and_an_update_brings_pip_back(pi: Pi) -> None:
    """The commands of kit edge install; what it writes is for systemd, which isn't here."""
    words = ("--wheelhouse", "/work/wheels", "--extra", "sign", "--env", "/opt/lean", "--lean")
    told = pi.kit("edge", "install", *words, "--dry-run").stdout.splitlines()
    commands = [line.removeprefix("run    ") for line in told if line.startswith("run ")]
    assert len(commands) == 3
    pi.run("sh", "-ec", "\n".join(commands))
    pi.run(f"{LEAN}/python", "-I", "-m", "pip", "--version", code=1)
    # What root runs is compiled: a first judgement, as on every device.
    pi.run(f"{LEAN}/kit", "bundle", "install", "small.kit", "--allow-unsigned", "--home", "lean")
    pi.run(f"{LEAN}/kit", "doctor")
    sizes = {name: pi.megabytes(f"/opt/{name}") for name in ("dermkit", "lean")}
    print(f"with the extra sign: {sizes['dermkit']:.0f} MB, lean {sizes['lean']:.0f} MB")
    assert sizes["lean"] <= MAX_MB
    pi.run("sh", "-ec", commands[0])
    pi.run(f"{LEAN}/python", "-I", "-m", "pip", "--version")


def test_the_proof_on_the_device_is_that_of_this_machine(pi: Pi, here: Here) -> None:
    wheels = pi.work / "wheels-for-report"
    collect(wheels, Target(extras=("report",)), own_wheel(pi), lambda name: None)
    index = ("--no-index", "--no-compile", "--quiet", "--find-links", wheels.name)
    pi.run(f"{KIT}/python", "-m", "pip", "install", *index, "dermkit-edge[report]")
    words = ("compare", "float.kit", "small.kit", "--data", "proof", "--runs", "1")
    words += ("--home", "empty", "--out")
    pi.kit(*words, "there")
    here.kit(*words, "here")
    assert "<html" in (pi.work / "there" / "report.html").read_text(encoding="utf-8")
    for model in ("float", "small"):
        there, expected = (predictions(pi.work / name, model) for name in ("there", "here"))
        assert len(there) >= 2
        assert_same(there, expected)


def predictions(folder: Path, model: str) -> Sequence[dict]:
    """Decision and probability of one model on each photograph."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        return [
            {"decision": row[f"decision_{model}"], "probability": float(row[f"prob_{model}"])}
            for row in csv.DictReader(stream)
        ]
