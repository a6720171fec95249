"""The rules of the house: who may import what, where TensorFlow lives, what no file may do."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "dermedge": ROOT / "edge_runtime" / "dermedge",
    "dermtrain": ROOT / "train" / "dermtrain",
    "dermcompress": ROOT / "compress" / "dermcompress",
}
EDGE_TOP = sys.stdlib_module_names | {"dermedge", "numpy", "cv2", "typer"}
# What the extras name, what comes with typer, and what a Raspberry Pi brings.
EXTRAS = {"cryptography", "gpiozero", "jinja2", "markupsafe", "matplotlib", "paho"} | {
    "prometheus_client",
    "segno",
    "starlette",
    "uvicorn",
}
EDGE_INSIDE = EDGE_TOP | EXTRAS | {"rich", "picamera2"}
WITH_EXTRAS = ("dermedge.mqtt", "dermedge.web")
INTERPRETERS = {"ai_edge_litert", "openvino", "tflite_runtime"}
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"}
HEAVY = TENSORFLOW | INTERPRETERS | {"numpy", "cv2", "matplotlib", "jinja2"}
GENERIC = {"utils", "helpers", "common", "manager", "misc"}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import: of which distribution's module, and whether it runs when the file is loaded."""

    module: str
    at_load: bool
    where: str
    name: str = ""  # the whole one, dots included


def imports(source: str, where: str = "") -> Iterator[Import]:
    """Every import statement of a source text."""

    def visit(node: ast.AST, at_load: bool) -> Iterator[Import]:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            place = f"{where}:{node.lineno}"  # type: ignore[attr-defined]
            yield Import(name.partition(".")[0], at_load, place, name)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types(node)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_load and not later)

    yield from visit(ast.parse(source), True)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def files(*packages: str) -> list[Path]:
    found = [path for name in packages for path in sorted(SOURCES[name].rglob("*.py"))]
    assert found
    return found


def imports_of(*packages: str, names: str = "*.py") -> list[Import]:
    paths = [path for path in files(*packages) if path.match(names)]
    assert paths
    return [
        found
        for path in paths
        for found in imports(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]


def interpreter_names(source: str) -> set[str]:
    """Strings that name an interpreter's module, as `import_module` takes them."""
    strings = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {s for s in strings if isinstance(s, str) and s.partition(".")[0] in INTERPRETERS}


def unsafe(source: str) -> list[str]:
    """Calls and imports that could run foreign code: load_model, pickles."""
    found = [one.module for one in imports(source) if one.module in UNPICKLERS]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            found += [name] if name == "load_model" else []
            found += [
                "allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            ]
    return found


def test_imports_are_told_apart_by_when_they_run():
    source = """
import a.b, c
from typing import TYPE_CHECKING
from . import mine
if TYPE_CHECKING:
    import d
try:
    from e import x
except ImportError:
    pass
class K:
    import f
    def m(self):
        import g
"""
    found = {(one.module, one.at_load) for one in imports(source)} - {("typing", True)}
    now = {(name, True) for name in "acef"}
    assert found == now | {("d", False), ("g", False)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("keras.models.load_model(path)", ["load_model"]),
        ("def f():\n    import pickle", ["pickle"]),
        ("np.load(path, allow_pickle=True)", ["allow_pickle"]),
        ("np.load(path, allow_pickle=False)", []),
        ("'never pickle, never load_model(path)'", []),
    ],
)
def test_what_could_run_foreign_code_is_seen(source: str, found: list[str]):
    assert unsafe(source) == found


def test_the_edge_package_imports_only_what_a_device_has():
    allowed = {True: EDGE_TOP, False: EDGE_INSIDE}
    assert [
        one
        for one in imports_of("dermedge")
        if one.module not in allowed[one.at_load and not in_an_extra(one)]
    ] == []


def test_a_package_that_needs_an_extra_is_imported_inside_functions():
    assert [
        one
        for one in imports_of("dermedge")
        if one.at_load and one.name.startswith(WITH_EXTRAS) and not in_an_extra(one)
    ] == []


def in_an_extra(one: Import) -> bool:
    """Whether it stands in a package that is only loaded where its extra is installed."""
    return one.where.startswith(tuple(f"edge_runtime/{x.replace('.', '/')}/" for x in WITH_EXTRAS))


def test_only_the_modules_of_the_runtimes_name_one():
    naming = [p.name for p in files("dermedge") if interpreter_names(p.read_text(encoding="utf-8"))]
    assert naming == ["openvino.py", "tflite.py"]


def test_training_does_not_know_compression():
    assert [one for one in imports_of("dermtrain") if one.module == "dermcompress"] == []


def test_tensorflow_is_for_training_and_compression_only():
    assert [one for one in imports_of("dermedge") if one.module in TENSORFLOW] == []
    assert any(one.module in TENSORFLOW for one in imports_of("dermtrain"))


def test_no_command_module_loads_tensorflow_before_its_command_runs():
    commands = imports_of(*SOURCES, names="cli*.py")
    assert [one for one in commands if one.at_load and one.module in TENSORFLOW] == []


@pytest.mark.parametrize("module", ["dermedge.cli", "dermtrain.cli", "dermcompress.cli"])
def test_a_command_module_loads_nothing_heavy(module: str):
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert loaded & HEAVY == set()


def test_every_module_is_named_for_what_it_does():
    paths = [path.relative_to(ROOT).with_suffix("") for path in files(*SOURCES)]
    assert [path for path in paths if GENERIC & set(path.parts)] == []


def test_nothing_unpickles_or_loads_a_whole_model():
    found = {str(p): unsafe(p.read_text(encoding="utf-8")) for p in files(*SOURCES)}
    assert {path: what for path, what in found.items() if what} == {}


def test_every_file_that_the_documents_name_exists():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "edge_runtime/README.md"]
    absent = {
        f"{document.relative_to(ROOT)}: {name}"
        for document in documents
        for name, path in named_files(document)
        if not path.exists()
    }
    assert absent == set()


def named_files(document: Path) -> Iterator[tuple[str, Path]]:
    """Targets of relative links, and paths that begin with one of our folders."""
    text = document.read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text):
        yield name, document.parent / name
    folders = "edge_runtime|train|compress|tests|benchmarks|docs"
    for name in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w\.\w+)", text):
        yield name, ROOT / name
    for package, name in re.findall(r"(?<![\w/.-])(derm\w+)/([\w/]+\.py)\b", text):
        yield f"{package}/{name}", SOURCES[package] / name
