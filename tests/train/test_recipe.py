"""Recipes: those shipped are valid, everything doubtful is refused, and TOML goes round."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dermtrain
from dermcompress import recipe as compress_recipe
from dermedge.errors import InputError
from dermtrain.augment import Augment
from dermtrain.recipe import STAGES, Phase, Recipe, load, parse, shipped, to_toml, tomllib

TRAIN = Path(dermtrain.__file__).parent
COMPRESS = Path(compress_recipe.__file__).parent
LOADERS = {
    **{f"train/{p.stem}": (TRAIN, p.stem) for p in shipped(TRAIN).glob("*.toml")},
    **{f"compress/{p.stem}": (COMPRESS, p.stem) for p in shipped(COMPRESS).glob("*.toml")},
}


def _load(package: Path, name: str) -> Recipe | compress_recipe.CompressRecipe:
    return load(Recipe, name, TRAIN) if package == TRAIN else compress_recipe.load(name)


def test_the_recipes_that_the_help_names_are_shipped() -> None:
    assert {"train/default", "train/scratch", "compress/default"} <= set(LOADERS)


@pytest.mark.parametrize("which", sorted(LOADERS))
def test_shipped_recipe_is_valid_and_named_after_its_file(which: str) -> None:
    found = _load(*LOADERS[which])
    assert found.name == which.split("/")[1]
    assert all(found.rules().values())


def _phase(lines: str = "", name: str = "a") -> str:
    return f'[[phase]]\nname = "{name}"\n{lines}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", r"unknown keys \['epoch'\]; known: .*phase"),
        ("batch = 3.5", "batch: expected int, found 3.5"),
        ("batch = true", "batch: expected int, found True"),
        ('batch = "32"', "batch: expected int, found '32'"),
        ("unfreeze_early = 1", "unfreeze_early: expected bool, found 1"),
        ("weight_decay = [1e-4]", "weight_decay: expected float"),
        ("val = 0.0", "val and test lie above 0"),
        ("val = 0.4\ntest = 0.2", "leave half to train"),
        ("batch = 0", "batch is at least 1"),
        ("weight_decay = -0.1", "weight_decay lies in 0 to 1"),
        ("augment = 3", "augment: expected a table, found 3"),
        ("[augment]\nflip = 2.0", "augment: expected that flip.* lie in 0 to 1"),
        ("phase = 3", "phase: expected tables, found 3"),
        ("phase = []", "the first phase, and no other, trains the head alone"),
        (_phase('train = "conv5"'), "the first phase, and no other, trains the head alone"),
        (_phase() + _phase(name="b"), "the first phase, and no other, trains the head alone"),
        (
            _phase() + _phase('train = "conv4"', "b") + _phase('train = "conv5"', "c"),
            "phases unfreeze from the top",
        ),
        (_phase() + _phase('train = "conv4"'), "no two phases share a name"),
        (_phase(name=""), "a phase has a name"),
        (_phase("stage = 5"), r"phase 1: unknown keys \['stage'\]"),
        (_phase('train = "conv6"'), "train is head, one of conv1"),
        (_phase('train = "conv4_block"'), "train is head, one of conv1"),
        (_phase("epochs = -1"), "epochs is at least 0"),
        (_phase("patience = 0"), "patience and views are at least 1"),
        (_phase("learning_rate = 0.0"), "learning_rate lies above 0"),
        (_phase("learning_rate = nan"), "learning_rate lies above 0"),
        (_phase("learning_rate = inf"), "is at most 1"),
        (_phase("label_smoothing = 0.6"), "label_smoothing lies in 0 to 0.5"),
        (_phase('schedule = "step"'), "schedule is one of constant, plateau, cosine"),
        (_phase('bn = "batch"'), "bn is one of frozen, affine, adapt"),
        (_phase("average = 1.0"), "average lies in 0 to 0.9999"),
        ("batch = ", "is not TOML"),
        ("batch = 1\nbatch = 2", "is not TOML"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_the_file_named(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load(Recipe, str(path), TRAIN)
    assert "mine.toml" in str(caught.value)


def test_every_broken_rule_is_told_at_once() -> None:
    with pytest.raises(InputError, match=r"batch.*; and that weight_decay"):
        parse(Recipe, {"name": "x", "batch": 0, "weight_decay": -1.0}, "x.toml")


@pytest.mark.parametrize("package", [TRAIN, COMPRESS], ids=["train", "compress"])
def test_unknown_name_lists_what_is_shipped(package: Path) -> None:
    with pytest.raises(InputError, match="no recipe 'nonsense'; shipped: default, "):
        _load(package, "nonsense")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name = '\x00'"])
def test_binary_file_is_not_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.toml").write_bytes(content)
    with pytest.raises(InputError, match="is not TOML"):
        load(Recipe, str(tmp_path / "b.toml"), TRAIN)


def test_a_file_takes_what_it_leaves_out_from_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text("batch = 2\nweight_decay = 1\n")
    found = load(Recipe, str(tmp_path / "short.toml"), TRAIN)
    assert found == replace(Recipe("short"), batch=2, weight_decay=1.0)


@given(
    st.builds(
        Recipe,
        name=st.text(st.characters(codec="utf-8"), min_size=1),
        val=st.floats(1e-6, 0.25),
        test=st.floats(1e-6, 0.25),
        weight_decay=st.floats(0, 1),
        batch=st.integers(1, 4096),
        unfreeze_early=st.booleans(),
        augment=st.builds(Augment, rotate=st.floats(0, 180), side=st.integers(16, 999)),
        phase=st.builds(
            lambda phase: (Phase("transfer"), phase),
            st.builds(
                Phase,
                name=st.text(st.characters(codec="utf-8"), min_size=9),
                train=st.sampled_from([*STAGES, "conv4_block2"]),
                learning_rate=st.floats(1e-300, 1.0),
                average=st.floats(0, 0.9999),
                label_smoothing=st.floats(0, 0.5),
            ),
        ),
    )
)
def test_a_resolved_recipe_reads_back_as_itself(recipe: Recipe) -> None:
    assert parse(Recipe, tomllib.loads(to_toml(recipe)), "recipe.toml") == recipe
