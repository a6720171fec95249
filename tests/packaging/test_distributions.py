"""Two distributions, one edge package: equal lists, the right files, no TensorFlow on a device."""

import configparser
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "edge_runtime"


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def build(folder: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def full_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def edge_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(EDGE, tmp_path_factory.mktemp("edge"))


def contents(wheel: Path) -> set[str]:
    """Names of the packages' files, without the wheel's own records."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def record(wheel: Path, name: str) -> str:
    """Text of one file of the wheel's own records."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def entry_points(wheel: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser()
    parser.read_string(record(wheel, "entry_points.txt"))
    return {section: dict(parser[section]) for section in parser.sections()}


def source_files(package: Path) -> set[str]:
    """What a wheel must hold of a package: all of it but caches."""
    found = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(package.parent).as_posix() for path in found}


@pytest.mark.parametrize("key", ["dependencies", "requires-python", "license", "scripts"])
def test_both_distributions_ask_for_the_same(key: str):
    assert project(EDGE)[key] == project(ROOT)[key]


def test_a_device_s_extras_are_the_same_in_both_distributions():
    edge, full = (project(folder)["optional-dependencies"] for folder in (EDGE, ROOT))
    assert set(edge) >= {"crypt", "report", "sign"}
    assert edge == {extra: full[extra] for extra in edge}


def test_the_full_wheel_holds_the_three_packages_and_their_recipes(full_wheel: Path):
    expected = source_files(EDGE / "dermedge")
    for folder, package in (("train", "dermtrain"), ("compress", "dermcompress")):
        recipes = (ROOT / folder / "recipes").glob("*.toml")
        expected |= {f"{package}/recipes/{path.name}" for path in recipes}
        expected |= source_files(ROOT / folder / package)
    assert contents(full_wheel) == expected
    assert {"dermtrain/recipes/default.toml", "dermcompress/recipes/default.toml"} <= expected
    assert "dermedge/templates/compare.html.j2" in expected


def test_the_edge_wheel_holds_the_edge_package_only(edge_wheel: Path):
    assert contents(edge_wheel) == source_files(EDGE / "dermedge")


def test_both_wheels_carry_the_licence(full_wheel: Path, edge_wheel: Path):
    for wheel in (full_wheel, edge_wheel):
        assert record(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_edge_wheel_asks_for_no_tensorflow(edge_wheel: Path):
    assert "tensorflow" not in record(edge_wheel, "METADATA").partition("\n\n")[0].lower()


def test_the_full_wheel_brings_all_commands(full_wheel: Path):
    found = entry_points(full_wheel)
    assert found["console_scripts"] == {"kit": "dermedge.cli:main"}
    assert set(found["dermkit.commands"]) == {"train", "compress"}
    assert set(found["dermkit.readers"]) == {"run"}
    modules = {target.partition(":")[0] for group in found.values() for target in group.values()}
    assert {f"{module.replace('.', '/')}.py" for module in modules} <= contents(full_wheel)


def test_the_edge_wheel_brings_the_edge_commands_only(edge_wheel: Path):
    assert entry_points(edge_wheel) == {"console_scripts": {"kit": "dermedge.cli:main"}}


@pytest.mark.slow
def test_a_device_without_tensorflow_diagnoses(
    edge_wheel: Path, tiny_bundles: tuple[Path, Path], photo: np.ndarray, tmp_path: Path
):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    home = tmp_path / "env" / "bin"
    pip = [home / "python", "-m", "pip", "--disable-pip-version-check"]

    # Two steps, to tell a registry out of reach from a wheel that asks for the wrong things.
    done = subprocess.run(
        [*pip, "install", "--quiet", *project(EDGE)["dependencies"]], capture_output=True, text=True
    )
    if done.returncode:
        reason = f"pip can't reach its registry: {done.stderr.strip()[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    subprocess.run([*pip, "install", "--quiet", "--no-index", edge_wheel], check=True)

    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    diagnose = [home / "kit", "diagnose", tiny_bundles[1], picture, "--json"]
    done = subprocess.run(diagnose, capture_output=True, text=True, check=True, cwd=tmp_path)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["image"] == str(picture)
    assert 0 <= json.loads(line)["probability"] <= 1

    listed = subprocess.run([*pip, "list"], capture_output=True, text=True, check=True).stdout
    assert "dermkit-edge" in listed
    assert "tensorflow" not in listed.lower()
    assert "keras" not in listed.lower()
