import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dermedge import wheelhouse
from dermedge.cli import app
from dermedge.errors import InputError, MissingError
from dermedge.wheelhouse import Target, collect

FOR_PI = "manylinux_2_28_aarch64"


def make(folder: Path, name: str, *requires: str, tag: str = "py3-none-any") -> Path:
    """A wheel of nothing but its own records."""
    project, version = name.split("-")
    info = f"{project}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    metadata += "Provides-Extra: sign\n"
    path = folder / f"{name}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the index; pip reaches no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    make(folder, "simplejpeg-1.9", tag=f"cp311-cp311-{FOR_PI}")
    make(folder, "numeric-2.0", tag=f"cp311-cp311-{FOR_PI}")
    make(folder, "crypto-1.0", tag="cp311-abi3-manylinux2014_aarch64")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def kit(folder: Path, *requires: str) -> Path:
    return make(folder, "dermkit_edge-0.1.0", *requires, "crypto; extra == 'sign'")


def names(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.glob("*.whl")}


def test_wheels_of_another_machine_are_collected_and_named_as_they_come(
    index: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    own = kit(tmp_path, "numeric>=1")
    found = collect(tmp_path / "out", Target(extras=("sign",)), own, said.append)
    assert names(tmp_path / "out") == {"dermkit_edge", "numeric", "crypto", "simplejpeg"}
    assert [path.parent for path in found] == [tmp_path / "out"] * 4
    assert any("numeric" in word for word in said)


def test_the_note_holds_the_one_line_to_run_on_the_device(index: Path, tmp_path: Path) -> None:
    collect(tmp_path / "out", Target(extras=("sign",)), kit(tmp_path), lambda name: None)
    text = (tmp_path / "out" / wheelhouse.NOTE).read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("sudo python3")]
    assert "venv --system-site-packages /opt/dermkit" in line
    assert "--no-index --find-links . 'dermkit-edge[sign]==0.1.0'" in line
    assert "kit edge install --wheelhouse . --extra sign" in text


def test_what_only_the_device_s_python_or_machine_asks_for_is_collected_too(
    index: Path, tmp_path: Path
) -> None:
    other = "3.10" if sys.version_info[:2] == (3, 11) else "3.11"
    own = kit(
        tmp_path,
        f"numeric; python_version == '{other}'",
        "onpi; platform_machine == 'a board'",
        "nowhere; platform_machine == 'another board'",
        "windowed; platform_system == 'Windows'",
    )
    make(index, "onpi-1.0")
    said: list[str] = []
    collect(tmp_path / "out", Target(), own, said.append)
    assert names(tmp_path / "out") == {"dermkit_edge", "numeric", "onpi", "simplejpeg"}
    assert [word for word in said if word.startswith("left out")] == [
        "left out nowhere: no wheel, and perhaps not needed"
    ]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(("linux_armv7l",)), "no wheel of .* for Python 3.11 on linux_armv7l. A 32-bit"),
        (Target(python="3.10"), "no wheel of .* for Python 3.10 on linux_aarch64"),
    ],
)
def test_a_package_without_a_wheel_is_named_and_nothing_is_left(
    target: Target, words: str, index: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        collect(tmp_path / "out", target, kit(tmp_path, "numeric"), lambda name: None)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["index"]


def test_a_folder_that_holds_something_and_a_wheel_of_something_else_are_refused(
    index: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="already holds"):
        collect(index, Target(), None, lambda name: None)
    other = make(tmp_path, "numeric-3.0")
    with pytest.raises(InputError, match="no wheel of dermkit-edge"):
        collect(tmp_path / "out", Target(), other, lambda name: None)


def test_outside_of_a_clone_the_kit_s_own_wheel_has_to_be_named(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "_SOURCE", tmp_path)
    monkeypatch.setattr(wheelhouse, "_pip", lambda *_, **__: pytest.fail("an index was asked"))
    with pytest.raises(InputError, match=r"with --wheel: .* in no public index"):
        collect(tmp_path / "out", Target(), None, lambda name: None)
    assert not (tmp_path / "out").exists()


def test_no_pip_and_no_network_are_told_apart_from_no_wheel() -> None:
    assert isinstance(wheelhouse._failed("/x/python: No module named pip"), MissingError)
    offline = (
        "WARNING: Retrying: NewConnectionError(...)\nERROR: No matching distribution found for x"
    )
    assert "No matching" in str(wheelhouse._failed(offline))
    assert isinstance(wheelhouse._failed(offline), MissingError)
    assert isinstance(wheelhouse._failed("No matching distribution found for x"), InputError)


def test_the_command_collects_and_a_device_installs_without_an_index(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = kit(tmp_path)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    make(index, "simplejpeg-1.8.2")
    words = ["edge", "wheelhouse", "--out", "out", "--wheel", str(own), "--platform", "any"]
    done = CliRunner().invoke(app, [*words, "--python", here])
    assert done.exit_code == 0, done.output
    assert "out: 2 wheels" in done.stdout
    monkeypatch.delenv("PIP_FIND_LINKS")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", "out"]
    line = [*pip, "--target", "device", "dermkit-edge==0.1.0", "simplejpeg>=1.8"]
    subprocess.run(line, check=True, capture_output=True)
    assert (tmp_path / "device" / "dermkit_edge-0.1.0.dist-info").is_dir()
