"""Recipes: those shipped are valid, everything doubtful is refused, and TOML goes round."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dermtrain
from dermcompress import recipe as compress_recipe
from dermedge.errors import InputError
from dermtrain.recipe import STAGES, Recipe, load, parse, shipped, to_toml, tomllib

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", r"unknown keys \['epoch'\]; known: .*epochs"),
        ("epochs = 3.5", "epochs: expected int, found 3.5"),
        ("epochs = true", "epochs: expected int, found True"),
        ('batch = "32"', "batch: expected int, found '32'"),
        ("learning_rate = [1e-4]", "learning_rate: expected float"),
        ("stage = 5", "stage: expected str, found 5"),
        ("views = 3", "views is 1, 2 or 4"),
        ('stage = "conv6"', "stage is one of conv1"),
        ("val = 0.0", "val and test lie above 0"),
        ("val = 0.4\ntest = 0.2", "leave half to train"),
        ("patience = 0", "patience and batch are at least 1"),
        ("epochs = -1", "epochs is at least 0"),
        ("learning_rate = 0.0", "learning_rate lies above 0"),
        ("learning_rate = nan", "learning_rate lies above 0"),
        ("learning_rate = inf", "is at most 1"),
        ("weight_decay = -0.1", "weight_decay lies in 0 to 1"),
        ("label_smoothing = 0.6", "label_smoothing lies in 0 to 0.5"),
        ("epochs = ", "is not TOML"),
        ("epochs = 1\nepochs = 2", "is not TOML"),
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
    with pytest.raises(InputError, match=r"views.*; and that epochs"):
        parse(Recipe, {"name": "x", "views": 3, "epochs": -1}, "x.toml")


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
    (tmp_path / "short.toml").write_text("epochs = 2\nlearning_rate = 1\n")
    found = load(Recipe, str(tmp_path / "short.toml"), TRAIN)
    assert found == replace(Recipe("short"), epochs=2, learning_rate=1.0)


@given(
    st.builds(
        Recipe,
        name=st.text(st.characters(codec="utf-8"), min_size=1),
        val=st.floats(1e-6, 0.25),
        test=st.floats(1e-6, 0.25),
        views=st.sampled_from([1, 2, 4]),
        stage=st.sampled_from(STAGES),
        patience=st.integers(1, 1000),
        epochs=st.integers(0, 1000),
        learning_rate=st.floats(1e-300, 1.0),
        weight_decay=st.floats(0, 1),
        batch=st.integers(1, 4096),
        label_smoothing=st.floats(0, 0.5),
    )
)
def test_a_resolved_recipe_reads_back_as_itself(recipe: Recipe) -> None:
    assert parse(Recipe, tomllib.loads(to_toml(recipe)), "recipe.toml") == recipe
