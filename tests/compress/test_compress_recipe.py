"""Compression recipes: what is shipped, which rungs are asked for, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from dermcompress import recipe
from dermcompress.recipe import CompressRecipe, Rung
from dermedge.errors import InputError
from dermedge.gate import Gate
from dermtrain import recipe as recipes

LADDER = CompressRecipe(
    "tests",
    ship=("small", "peer"),
    rung=(Rung("half", "full", export="float16"), Rung("small"), Rung("peer", "peer", distil=2)),
)


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["default", "demo"])
def test_shipped_recipes_ship_taught_int8_rungs_the_smallest_first(name: str) -> None:
    found = recipe.load(name)
    assert found.name == name
    shipped = [rung for attempt in found.attempts() for rung in attempt]
    assert tuple(rung.name for rung in shipped) == found.ship
    assert {(rung.net, rung.distil > 0) for rung in shipped} == {("slim", True)}
    assert {rung.export for rung in shipped} <= {"ptq", "qat"}
    work = [rung.work or found.work for rung in shipped]
    assert work == sorted(work)
    assert work[-1] < 1


def test_the_default_ladder_has_every_rung_and_what_each_is_held_against() -> None:
    (rungs,) = recipe.load("default").attempts("all")
    assert {(rung.net, rung.export) for rung in rungs} >= {
        *(("full", export) for export in ("float16", "dynamic", "ptq", "qat")),
        *(("slim", export) for export in ("ptq", "ptq-edge", "qat")),
        *((net, "qat") for net in ("random", "peer")),
    }
    assert any(rung.sparsity for rung in rungs)
    kept = {(rung.export, rung.keep) for rung in rungs if rung.keep}
    assert kept >= {("ptq", ("first", "last")), ("qat", ("first", "last")), ("qat", ("last",))}
    assert recipe.load("default").gate == Gate()


@pytest.mark.parametrize("name", ["default", "demo"])
def test_a_recipe_survives_being_written_out(name: str, tmp_path: Path) -> None:
    found = recipe.load(name)
    assert replace(recipe.load(written(tmp_path, recipes.to_toml(found))), name=name) == found


def test_without_names_the_rungs_of_the_recipe_are_attempted_one_by_one() -> None:
    names = [[rung.name for rung in attempt] for attempt in LADDER.attempts()]
    assert names == [["small"], ["peer"]]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("small", ["small"]),
        ("peer, half", ["half", "peer"]),
        ("float,peer,", ["peer"]),
        ("small,small", ["small"]),
        ("all", ["half", "small", "peer"]),
    ],
)
def test_rungs_that_are_named_are_one_attempt_in_the_recipes_order(
    asked: str, expected: list[str]
) -> None:
    (attempt,) = LADDER.attempts(asked)
    assert [rung.name for rung in attempt] == expected


@pytest.mark.parametrize("asked", ["huge", "small,huge", "all,small", "Small"])
def test_a_rung_that_is_not_there_is_refused_and_those_that_are_named(asked: str) -> None:
    with pytest.raises(InputError, match=r"no rung .*in recipe tests; it has half, small, peer"):
        LADDER.attempts(asked)


@pytest.mark.parametrize("asked", ["float", "float, float", ","])
def test_the_full_model_alone_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match="only the full model is asked for"):
        LADDER.attempts(asked)


def test_criteria_are_those_that_there_are() -> None:
    for criterion in recipe.CRITERIA:
        assert all(CompressRecipe("tests", criterion=criterion).rules().values())


RUNG = '[[rung]]\nname = "slim-distil-qat"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("work = 0", "work lies above 0"),
        ("work = 1.01", "at most 1"),
        ("size = 31", "size is 0 or lies in 32 to 1024"),
        ('criterion = "luck"', "criterion is one of taylor, l1, bn, random"),
        ("rounds = 0", "rounds, sparsify and batch are at least 1"),
        ("sparsify = 0", "rounds, sparsify and batch are at least 1"),
        ("batch = 0", "rounds, sparsify and batch are at least 1"),
        ("quantize = -1", "quantize is at least 0"),
        ("photographs = 15", "photographs is at least 16"),
        ("views = 3", "views is 1, 2 or 4"),
        ("learning_rate = 0", "learning_rate and peer_rate lie above 0"),
        ("peer_rate = 2", "learning_rate and peer_rate lie above 0"),
        ('ship = "slim-distil-qat"', "ship: expected an array of str"),
        ('ship = ["other"]', "ship names rungs"),
        ('ship = ["slim-distil-qat", "other"]', "ship names rungs"),
        ("rung = []", "there is a rung"),
        ('ship = ["slim-distil-qat", "slim-distil-qat"]', "ship names no rung twice"),
        (f"{RUNG}{RUNG}", "no two rungs share a name"),
        (f'{RUNG}[[rung]]\nname = "float"', "none is called float or all"),
        (f'{RUNG}[[rung]]\nname = "all"', "none is called float or all"),
        (f"{RUNG}[[rung]]\n", "a rung has a name"),
        (f'{RUNG}[[rung]]\nname = "a/b"', "a rung has a name of letters, digits and -"),
        (f'{RUNG}net = "tiny"', "net is one of full, slim, random, peer"),
        (f'{RUNG}export = "int4"', "export is one of float32, float16, dynamic, ptq, ptq-edge"),
        (f"{RUNG}distil = -1", "distil is at least 0"),
        (f"{RUNG}sparsity = 0.96", "sparsity lies in 0 to 0.95"),
        (f"{RUNG}work = 1.1", "work lies in 0 to 1"),
        (f'{RUNG}net = "full"\nwork = 0.5', "work goes with net slim or random"),
        (f"{RUNG}size = 1025", "size is 0 or lies in 32 to 1024"),
        (f'{RUNG}net = "full"\nsize = 224', "size goes with another net than full"),
        (f'{RUNG}net = "peer"', "a peer learns"),
        (f'{RUNG}keep = ["last"]\nexport = "float16"', "keep goes with export ptq or qat"),
        (f'{RUNG}keep = ["last"]\nexport = "ptq-edge"', "keep goes with export ptq or qat"),
        (f'{RUNG}keep = "last"', "keep: expected an array of str, found 'last'"),
        (f"{RUNG}keep = [1]", "keep 1: expected str, found 1"),
        ("[gate]\nmax_ece = 1.5", "max_ece lies in 0 to 1"),
        ("keep = 0.5", r"unknown keys \['keep'\]"),
        ("rounds = 1.5", "rounds: expected int, found 1.5"),
        ("work = ", "is not TOML"),
    ],
)
def test_what_a_recipe_may_not_say_is_refused_with_the_rule(
    text: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        recipe.load(written(tmp_path, text))


def test_an_unknown_recipe_is_refused_and_the_shipped_ones_named() -> None:
    with pytest.raises(InputError, match="no recipe 'fast'; shipped: default, demo"):
        recipe.load("fast")


@pytest.mark.parametrize(
    ("rung", "words"),
    [
        (Rung("a", "full", export="float32"), "the full net"),
        (Rung("a", "full", export="float16"), "the full net; float16"),
        (Rung("a", sparsity=0.5), "reconstructed; 50% of the weights 0; int8 learnt (QAT)"),
        (
            Rung("a", "random", export="ptq"),
            "by chance, the rest reconstructed; int8 after training",
        ),
        (Rung("a", work=0.5), "channels leave, the rest reconstructed; 50% of the work left; int8"),
        (Rung("a", work=0.5, size=256), "50% of the work left; 256 pixels; int8 learnt (QAT)"),
        (Rung("a", export="ptq-edge"), "reconstructed; int8 after training by ai-edge-quantizer"),
        (Rung("a", keep=("first", "conv2_1")), "int8 learnt (QAT); in float: first, conv2_1"),
        (Rung("a", "peer", 20), "MobileNetV2, from random weights; taught for 20 epochs; int8"),
    ],
)
def test_a_rung_says_what_is_done(rung: Rung, words: str) -> None:
    assert words in str(rung)
