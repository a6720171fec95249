"""The made-up set: its files, its splits, its repeatability, and how much its classes differ."""

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermedge import image, table
from dermedge.errors import InputError, StorageError
from dermtrain import dermoscope, lesion, synthetic

SIDE = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 40 small photographs."""
    return synthetic.make_set(tmp_path_factory.mktemp("synth") / "set", 40, size=SIDE).parent


def _bytes(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def _traits(**changes: float) -> lesion.Lesion:
    drawn = lesion.sample(np.random.default_rng(0), True, (0, 1))
    return replace(drawn, **changes)


def _skin_and_view() -> tuple[dermoscope.Skin, dermoscope.View]:
    rng = np.random.default_rng(5)
    return dermoscope.sample_skin(rng, (0, 2)), dermoscope.sample_view(rng, (0, 3))


def test_writes_the_table_in_the_kits_own_format(made: Path) -> None:
    with (made / "labels.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    assert ",".join(header) == "image,label,diagnosis,patient_id,lesion_id,split,licence"
    assert [row[0] for row in rows] == [f"images/SYN_{i:05d}.jpg" for i in range(1, 41)]
    assert {row[1] for row in rows} == {"benign", "malignant"}
    assert {(row[2], row[6]) for row in rows} == {("made-up", "CC0-1.0")}
    assert table.read(made).made_up


def test_every_row_has_a_square_jpeg_and_there_are_no_other_files(made: Path) -> None:
    rows = table.read(made).rows
    for row in rows:
        data = (made / row.image).read_bytes()
        assert data.startswith(b"\xff\xd8")
        assert image.read(made / row.image).shape == (SIDE, SIDE, 3)
    assert set(_bytes(made)) == {row.image for row in rows} | {"labels.csv", "README.md"}


def test_readme_says_that_the_set_is_made_up_by_whom_and_from_which_seed(made: Path) -> None:
    text = (made / "README.md").read_text(encoding="utf-8")
    for words in ("made-up", "dermkit", "seed 0", "40", "photograph of anyone", "about skin"):
        assert words in text


def test_reports_each_picture_drawn(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    synthetic.make_set(tmp_path / "s", 12, 0, SIDE, lambda *args: told.append(args))
    assert told == [("drawing", done, 12) for done in range(1, 13)]


def test_same_seed_gives_the_same_bytes_and_another_seed_other_pictures(
    made: Path, tmp_path: Path
) -> None:
    again = synthetic.make_set(tmp_path / "again", 40, 0, SIDE).parent
    other = synthetic.make_set(tmp_path / "other", 40, 1, SIDE).parent
    assert _bytes(again) == _bytes(made)
    first, second = _bytes(made), _bytes(other)
    assert all(first[name] != second[name] for name in first)


@given(images=st.integers(12, 400), seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_plan_keeps_patients_whole_and_gives_every_split_both_classes(
    images: int, seed: int
) -> None:
    shots = synthetic.plan(images, seed)
    splits, patients, lesions = defaultdict(set), defaultdict(list), defaultdict(list)
    for shot in shots:
        splits[shot.split].add(shot.malignant)
        patients[shot.patient].append(shot)
        lesions[shot.lesion].append(shot)
    assert len(shots) == images
    assert splits == {name: {False, True} for name in ("train", "val", "test")}
    for own in patients.values():
        assert len({shot.split for shot in own}) == 1
        assert 1 <= len({shot.lesion for shot in own}) <= 4
    for own in lesions.values():
        assert 1 <= len(own) <= 2
        assert len({(shot.patient, shot.malignant) for shot in own}) == 1


def test_plan_shares_out_60_20_20_and_about_30_percent_malignant() -> None:
    shots = synthetic.plan(1000, 0)
    shares = {s: sum(shot.split == s for shot in shots) for s in ("train", "val", "test")}
    assert shares == {"train": 600, "val": 200, "test": 200}
    assert 0.25 < np.mean([shot.malignant for shot in shots]) < 0.35


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise stop

    with pytest.raises(stop):
        synthetic.make_set(tmp_path / "set", 12, 0, SIDE, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path: Path) -> None:
    def full(stage: str, done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left on device"):
        synthetic.make_set(tmp_path / "set", 12, 0, SIDE, full)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_folder_that_holds_something_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty: choose another folder or remove it"):
        synthetic.make_set(tmp_path, 12, 0, SIDE)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_fills_a_folder_that_is_empty_and_makes_the_ones_above(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    synthetic.make_set(tmp_path / "empty", 12, 0, SIDE)
    made = synthetic.make_set(tmp_path / "a" / "b", 12, 0, SIDE)
    assert made == tmp_path / "a" / "b" / "labels.csv"
    assert _bytes(tmp_path / "empty") == _bytes(made.parent)


@pytest.mark.parametrize(
    ("images", "seed", "size", "message"),
    [(11, 0, SIDE, "images has"), (12, -1, SIDE, "seed has"), (12, 0, 8, "size has")],
)
def test_refuses_numbers_that_are_too_small(
    tmp_path: Path, images: int, seed: int, size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        synthetic.make_set(tmp_path / "set", images, seed, size)


def test_draws_rgb_with_a_lesion_darker_and_browner_than_the_skin() -> None:
    skin, view = _skin_and_view()
    skin = replace(skin, melanin=0.05, hairs=0)
    view = replace(view, tube=1.5, edge=0.1, shift=(0.0, 0.0), gain=(1.0, 1.0, 1.0))
    drawn = dermoscope.draw_lesion(_traits(veil=0.0, depth=0.8), skin, view, 96)
    assert (drawn.shape, drawn.dtype) == ((96, 96, 3), np.uint8)
    inner, outer = drawn[38:58, 38:58].mean((0, 1)), drawn[:10].mean((0, 1))
    assert (inner < outer - 20).all()
    assert outer[0] > outer[2]
    assert inner[0] / inner[2] > outer[0] / outer[2]


def test_every_class_leaning_trait_changes_the_picture() -> None:
    skin, view = _skin_and_view()
    for name in lesion.SHIFTS:
        low, high = (
            dermoscope.draw_lesion(
                _traits(network=0.9, globules=0.9, **{name: value}), skin, view, 96
            )
            for value in (0.05, 0.95)
        )
        assert np.abs(low.astype(int) - high).max() > 20, name


def test_a_lesion_ends_within_its_frame() -> None:
    widest = _traits(breadth=1.0, asymmetry=1.0, border=1.0, fade=1.0)
    pigment = lesion.maps(widest, 96)
    assert pigment.shape == (96, 96, 3)
    assert max(np.abs(pigment[edge]).max() for edge in (0, -1)) < 0.02
    assert pigment[48, 48, 0] > 0.1


def test_photographs_of_one_lesion_differ_in_view_alone() -> None:
    shots = synthetic.plan(40, 0)
    first = next(i for i in range(39) if shots[i].lesion == shots[i + 1].lesion)
    one, two = (synthetic.draw(i, shots[i], 0, SIDE) for i in (first, first + 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(one, synthetic.draw(first, shots[first + 1], 0, SIDE))


def test_the_best_possible_observer_still_errs() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.3
    scores = [_log_odds(lesion.sample(rng, bool(malignant), (0,))) for malignant in truth]
    assert 0.93 < roc_auc_score(truth, scores) < 0.97


def test_simple_features_tell_the_classes_apart_only_in_part() -> None:
    shots = synthetic.plan(400, 3)
    features = [_features(synthetic.draw(i, shot, 3, 96)) for i, shot in enumerate(shots)]
    truth = [shot.malignant for shot in shots]
    patients = [shot.patient for shot in shots]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = GroupKFold(5)
    scores = cross_val_predict(
        model, features, truth, groups=patients, cv=folds, method="predict_proba"
    )
    assert 0.65 < roc_auc_score(truth, np.asarray(scores)[:, 1]) < 0.95


def test_neither_skin_nor_view_knows_the_class() -> None:
    benign = synthetic.Shot(7, 9, False, "train")
    streams = [(4, 2, benign.patient), (4, 3, 5)]
    malignant = replace(benign, malignant=True)
    drawn = [synthetic.draw(5, shot, 4, SIDE) for shot in (benign, malignant)]
    skin = dermoscope.sample_skin(np.random.default_rng(streams[0]), (*streams[0], 9))
    view = dermoscope.sample_view(np.random.default_rng(streams[1]), (*streams[1], 1))
    for shot, picture in zip((benign, malignant), drawn, strict=True):
        own = lesion.sample(np.random.default_rng((4, 1, 9)), shot.malignant, (4, 1, 9, 1))
        assert np.array_equal(picture, dermoscope.draw_lesion(own, skin, view, SIDE))


def _log_odds(drawn: lesion.Lesion) -> float:
    """Log odds of malignant, up to a constant factor: the traits are logistic of unit normals."""
    values = {name: getattr(drawn, name) for name in lesion.SHIFTS}
    return sum(lesion.SHIFTS[name] * math.log(v / (1 - v)) for name, v in values.items())


def _features(pixels: npt.NDArray[np.uint8]) -> list[float]:
    """Area, ragged outline, spread of colours against the skin; the lesion by Otsu's threshold."""
    rows, columns = np.mgrid[:96, :96]
    disc = np.hypot(rows - 47.5, columns - 47.5) < 44
    green = np.asarray(cv2.GaussianBlur(pixels[..., 1], (0, 0), 1))
    level, _ = cv2.threshold(green[disc], 0, 255, cv2.THRESH_OTSU)
    dark = disc & (green < level)
    outlines, _ = cv2.findContours(dark.astype(np.uint8), cv2.RETR_EXTERNAL, 2)
    around = sum(cv2.arcLength(outline, True) for outline in outlines)
    inner, skin = pixels[dark].astype(float), np.median(pixels[disc & ~dark], axis=0)
    area = float(dark.sum())
    ratio = [*(inner.mean(0) / skin), *(inner.std(0) / skin)]
    return [area, around**2 / area, *ratio, float((inner[:, 0] - inner[:, 2]).std())]
