"""The documents: commands parse, links and pictures exist, examples compute, the site builds."""

from __future__ import annotations

import dataclasses
import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from dermedge.contract import NOTICE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "data" not in path.relative_to(DOCS).parts)
DOCUMENTS = [ROOT / "README.md", *PAGES]
TUTORIAL = sorted((DOCS / "tutorial").glob("*.md"))
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return module(DOCS / "reference.py")


@pytest.fixture(scope="module")
def kit(reference: ModuleType) -> Any:
    return reference.command_tree()


def text_of(document: Path) -> str:
    return _COMMENT.sub("", document.read_text(encoding="utf-8"))


def command_lines(text: str, program: str) -> Iterator[list[str]]:
    """Words of every line of a code block that begins with a program; `\\` joins lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in re.findall(rf"^(?: {{4,}}|\$ )({program} .*)$", joined, re.MULTILINE):
        yield shlex.split(line, comments=True)
    for block in re.findall(r"^ *```[^\n]*\n(.*?)^ *```", joined, re.MULTILINE | re.DOTALL):
        for line in re.findall(rf"^(?:\$ )?({program} .*)$", block, re.MULTILINE):
            yield shlex.split(line, comments=True)


def spans(text: str) -> Iterator[list[str]]:
    """Words of every `kit ...` inside a sentence."""
    for span in re.findall(r"(?<!`)`(kit [^`]+)`(?!`)", text):
        yield shlex.split(" ".join(span.split()), comments=True)


def parse(kit: Any, words: list[str], whole: bool) -> None:
    """Let the command line parser read a line, without running anything.

    A line in a code block has to be whole; a span in a sentence may leave arguments out.
    """
    command, name, rest = kit, words[0], words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no command {rest[0]!r} in `{' '.join(words)}`"
        name, command, rest = f"{name} {rest[0]}", command.commands[rest[0]], rest[1:]
    rest = [word for word in rest if word not in ("...", "…", "--help", "--version")]
    if not whole:
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        unknown = {word for word in rest if word.startswith("--")} - known
        assert unknown == set(), f"`{' '.join(words)}`"
        return
    if rest:
        command.make_context(name, list(rest))


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_command_line_parses(document: Path, kit: Any):
    text = text_of(document)
    for words in command_lines(text, "kit"):
        parse(kit, words, whole=True)
    for words in spans(text):
        parse(kit, words, whole=False)


@pytest.mark.parametrize(
    ("line", "whole", "complaint"),
    [
        ("kit trian photos --out x", True, "trian"),
        ("kit train photos --out x --wieghts none", True, "wieghts"),
        ("kit train photos --out x --image-size many", True, "'many' is not a valid int"),
        ("kit data synthesize out", True, "synthesize"),
        ("kit train --wieghts", False, "wieghts"),
    ],
)
def test_a_wrong_command_line_is_seen(line: str, whole: bool, complaint: str, kit: Any):
    with pytest.raises(Exception) as found:  # noqa: PT011 - typer brings its own click
        parse(kit, shlex.split(line), whole)
    assert complaint in f"{found.value} {getattr(found.value, 'param', '')}"


def test_command_lines_are_found_in_every_kind_of_block():
    text = (
        "a\n\n    kit one x \\\n        --y\n\n```sh\nkit two\n```\n\nkit three\n\n    $ kit four\n"
    )
    assert list(command_lines(text, "kit")) == [["kit", "one", "x", "--y"], ["kit", "two"]]
    assert list(spans("`kit five --z` and ``kit six``")) == [["kit", "five", "--z"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_make_target_and_script_exists(document: Path):
    text = text_of(document)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {words[1] for words in command_lines(text, "make")}
    named |= set(re.findall(r"`make ([a-z]+)`", text))
    assert named - targets == set()
    scripts = set(re.findall(r"\bpython ((?:docs|benchmarks)/[\w/.-]+\.py)", text))
    assert {script for script in scripts if not (ROOT / script).is_file()} == set()


def targets(text: str) -> Iterator[tuple[bool, str]]:
    """Every relative link of a document: whether it is a picture, and where it leads."""
    for mark, target in re.findall(r"(!?)\[[^\]]*\]\((?!\w+:)([^)\s]+)\)", text):
        yield bool(mark), target
    for target in re.findall(r"<img[^>]*\ssrc=[\"'](?!\w+:)([^\"']+)", text):
        yield True, target


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_link_and_picture_exists(document: Path):
    text = text_of(document)
    absent = {
        target
        for _, target in targets(text)
        if not (document.parent / (target.partition("#")[0] or document.name)).exists()
    }
    assert absent == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_picture_is_made_by_a_script(document: Path):
    scripts = [*DOCS.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
    pictures = {Path(target) for picture, target in targets(text_of(document)) if picture}
    unmade = {p.name for p in pictures if not re.search(rf"\b{re.escape(p.stem)}\b", sources)}
    assert unmade == set()


def test_no_picture_lies_about_that_no_page_shows():
    shown = {Path(t).name for d in DOCUMENTS for _, t in targets(d.read_text(encoding="utf-8"))}
    assert {path.name for path in (DOCS / "images").iterdir()} - shown == set()


@pytest.mark.parametrize("page", TUTORIAL, ids=by_name)
def test_the_worked_examples_compute(page: Path):
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0


def test_the_worked_example_is_a_picture_of_the_set():
    sys.path.insert(0, str(DOCS / "figures"))
    try:
        inputs, target, names = module(DOCS / "figures" / "colours.py").standardised()
    finally:
        sys.path.remove(str(DOCS / "figures"))
    text = (DOCS / "tutorial" / "descent.md").read_text(encoding="utf-8")
    (name,) = set(re.findall(r"SYN_\d+", text))
    red, blue, truth = re.findall(r"red, blue, target = (\S+), (\S+), (\S+)", text)[0]
    place = names.index(name)
    assert inputs[place] == pytest.approx((float(red), float(blue)), abs=0.005)
    assert target[place] == float(truth)


def figure_texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    return sorted(
        "".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")
    )


def test_every_figure_is_what_its_script_draws(tmp_path: Path):
    images = DOCS / "images"
    names = [path.stem for path in sorted(images.glob("*.svg"))]
    make = [sys.executable, DOCS / "figures" / "make.py", *names, "--out", tmp_path]
    subprocess.run(make, check=True, capture_output=True)
    stale = [
        name
        for name in names
        if figure_texts(images / f"{name}.svg") != figure_texts(tmp_path / f"{name}.svg")
    ]
    assert stale == [], "run: make figures"


def test_the_reference_pages_are_up_to_date(reference: ModuleType):
    stale = [
        name
        for name, page in reference.PAGES.items()
        if page() != (DOCS / name).read_text(encoding="utf-8")
    ]
    assert stale == [], "run: make figures"


@pytest.mark.tensorflow
def test_the_figures_count_the_net_that_is_trained():
    sys.path.insert(0, str(DOCS / "figures"))
    try:
        layers = module(DOCS / "figures" / "layers.py")
    finally:
        sys.path.remove(str(DOCS / "figures"))
    from dermtrain import backbone

    model = backbone.build(layers.SIDE, 2)
    stages = layers.stages()
    knobs = dict.fromkeys((stage.name for stage in stages), 0)
    for layer in model.layers:
        stage = backbone.stage_of(layer.name)
        if stage in knobs:
            knobs[stage] += sum(int(w.shape.num_elements()) for w in layer.trainable_weights)
    assert knobs == {stage.name: stage.knobs for stage in stages}
    for stage in stages[1:]:
        ends = [layer for layer in model.layers if layer.name.startswith(f"{stage.name}_")]
        assert tuple(ends[-1].output_shape[1:]) == (stage.places, stage.places, stage.channels)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the site needs the dependency group docs")
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_the_site_has_every_page(site: Path):
    expected = {path.relative_to(DOCS).with_suffix(".html") for path in PAGES}
    assert {path.relative_to(site) for path in site.rglob("*.html")} == expected | {
        Path("404.html")
    }


def test_every_page_says_that_this_is_research_software(site: Path):
    without = [
        page.name
        for page in site.rglob("*.html")
        if NOTICE not in " ".join(page.read_text(encoding="utf-8").split())
    ]
    assert without == []


def test_the_site_asks_for_nothing_from_elsewhere(site: Path):
    fetched = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?((?:https?:)?//[^\s\">]+)"
        r"|<link[^>]*\srel=\"?(?:stylesheet|preconnect|preload|icon)[^>]*\shref=\"?((?:https?:)?//[^\s\">]+)"
        r"|url\([\"']?((?:https?:)?//[^)]+)"
    )
    foreign = {
        (page.name, found)
        for page in [*site.rglob("*.html"), *site.rglob("*.css")]
        for groups in fetched.findall(page.read_text(encoding="utf-8"))
        for found in groups
        if found
    }
    assert foreign == set()


def test_fine_tuning_too_early_is_the_last_phase_without_those_before_it():
    from dermtrain import unfreezing
    from dermtrain.recipe import Recipe, load

    late, early = (
        load(Recipe, str(DOCS / "figures" / f"{name}.toml"), ROOT) for name in ("late", "early")
    )
    assert early.phase[-1] == late.phase[-1]
    assert [phase.epochs for phase in early.phase[:-1]] == [0]
    same = dataclasses.replace(early, name="late", unfreeze_early=False, phase=late.phase)
    assert same == late
    for random in ([], ["conv5"]):
        assert unfreezing.warning(late, random) == ""
        assert unfreezing.warning(early, random)


def test_every_key_of_a_recipe_is_explained():
    from dermtrain.recipe import Phase, Recipe

    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    keys = {field.name for kind in (Phase, Recipe) for field in dataclasses.fields(kind)}
    assert {key for key in keys - {"phase"} if f"`{key}`" not in text} == set()
