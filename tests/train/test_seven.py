"""The made-up set of seven classes: names, shares, splits, looks, and nothing of the set of two."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermedge import table
from dermedge.errors import InputError
from dermtrain import seven, synthetic

NAMES = {"MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"}  # of ISIC 2018's task 3 and HAM10000
SIDE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seven") / "set"
    return synthetic.make_set(folder, 105, 0, SIDE, classes=7).parent


def test_table_has_the_seven_names_in_every_split_and_says_made_up(made: Path) -> None:
    found = table.read(made)
    assert set(found.classes) == NAMES
    assert found.made_up
    for split in table.SPLITS:
        assert set(found.part(split).classes) == NAMES
    with (made / "labels.csv").open(encoding="utf-8", newline="") as stream:
        assert {record["diagnosis"] for record in csv.DictReader(stream)} == {"made-up"}


def test_readme_says_that_it_is_made_up_and_which_classes_count_as_positive(made: Path) -> None:
    text = (made / "README.md").read_text(encoding="utf-8")
    for words in ("made-up", "photograph of anyone", "about skin", "--positive MEL,BCC,AKIEC"):
        assert words in text
    assert ",".join(seven.POSITIVE) == "MEL,BCC,AKIEC"


@given(images=st.integers(105, 400), seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_plan_gives_a_lesion_one_class_and_every_split_all_of_them(images: int, seed: int) -> None:
    shots = synthetic.plan(images, seed, 7)
    kinds, splits = defaultdict(set), defaultdict(set)
    for shot in shots:
        kinds[shot.lesion].add(shot.kind)
        splits[shot.split].add(shot.kind)
        assert shot.malignant == (shot.kind in seven.POSITIVE)
    assert len(shots) == images
    assert all(len(own) == 1 for own in kinds.values())
    assert splits == dict.fromkeys(table.SPLITS, NAMES)


def test_plan_keeps_patients_lesions_and_splits_of_the_set_of_two() -> None:
    two, many = synthetic.plan(200, 3), synthetic.plan(200, 3, 7)
    assert [(s.patient, s.lesion, s.split) for s in two] == [
        (s.patient, s.lesion, s.split) for s in many
    ]
    assert {shot.kind for shot in two} == {""}


def test_shares_are_the_stated_ones() -> None:
    kinds = {shot.lesion: shot.kind for shot in synthetic.plan(6000, 0, 7)}
    counts = Counter(kinds.values())
    for name, kind in seven.KINDS.items():
        assert counts[name] / len(kinds) == pytest.approx(kind.share, abs=0.03)
    assert sum(kind.share for kind in seven.KINDS.values()) == pytest.approx(1)


def test_every_class_with_a_look_differs_from_a_nevus_of_the_same_seed() -> None:
    for name, kind in seven.KINDS.items():
        lesion = seven.draw_kind(name, np.random.default_rng(4), (4, 1))
        plain = seven.maps_of_kind("NV", lesion, 64)
        own = seven.maps_of_kind(name, lesion, 64)
        assert own.dtype == np.float32
        assert own.min() >= 0
        assert (np.abs(own - plain).max() > 0.1) == (kind.look is not None)
        assert max(np.abs(own[edge]).max() for edge in (0, -1)) < 0.1  # ends within its frame


def test_the_pictures_tell_more_than_the_most_frequent_class() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    shots = synthetic.plan(350, 1, 7)
    pixels = [synthetic.draw(i, shot, 1, SIDE) for i, shot in enumerate(shots)]
    # Colours of the middle against the skin's: no more.
    middle = [p[10:22, 10:22].reshape(-1, 3) / p[:4].mean((0, 1)) for p in pixels]
    features = [np.percentile(m, (10, 50, 90), axis=0).ravel() for m in middle]
    truth = np.array([shot.kind for shot in shots])
    guess = cross_val_predict(
        RandomForestClassifier(100, random_state=0),
        features,
        truth,
        groups=[shot.patient for shot in shots],
        cv=GroupKFold(4),
    )
    accuracy = (guess == truth).mean()
    assert max(Counter(truth.tolist()).values()) / len(truth) + 0.05 < accuracy < 0.9


def test_a_set_of_two_has_the_bytes_that_it_always_had(tmp_path: Path) -> None:
    """Plan and table; the pixels are compared by the tests of the set of two."""
    folder = synthetic.make_set(tmp_path / "set", 24, 3, SIDE).parent
    digest = hashlib.sha256((folder / "labels.csv").read_bytes()).hexdigest()
    assert digest == "666040d54ccbccbfaaba7f26706ad2def5d94b88d0966d391e9dbb71c6ac3caf"


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [(104, 7, "images has to be 105 or more"), (200, 3, "classes has to be 2 or 7, not 3")],
)
def test_refuses_what_it_can_not_draw(
    tmp_path: Path, images: int, classes: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        synthetic.make_set(tmp_path / "set", images, 0, SIDE, classes=classes)
