from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dermedge import heatmap
from dermedge.contract import Contract, Input, Label
from dermedge.decide import positive_probability
from dermedge.model import Outputs

MODES = "stretch", "pad", "crop"
FULL = np.float32(heatmap.SCALE)


def outputs(maps: np.ndarray) -> Outputs:
    return Outputs(maps.mean(axis=(0, 1), dtype=np.float32), maps)


def with_classes(terms: Contract, count: int, positive: Sequence[int]) -> Contract:
    labels = tuple(Label(i, f"class {i}", i in positive) for i in range(count))
    return replace(terms, labels=labels)


def maps(classes: int) -> np.ndarray:
    return np.random.default_rng(classes).normal(0, 2, (5, 7, classes)).astype(np.float32)


def grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blue_or_yellow(drawn: np.ndarray) -> np.ndarray:
    """-1 where a pixel is blue, 1 where it is yellow, 0 where it is grey."""
    return np.sign(drawn[..., 0].astype(int) - drawn[..., 2])


def test_of_two_classes_the_mean_is_the_log_odds(terms: Contract):
    found = outputs(maps(2))
    evidence = heatmap.evidence(found, terms)
    assert evidence is not None
    assert (evidence.shape, evidence.dtype) == ((5, 7), np.float32)
    p = positive_probability(found.scores, 1.0, (1,))
    assert evidence.mean() == pytest.approx(np.log(p / (1 - p)), abs=1e-5)


def test_of_several_classes_it_is_what_the_log_odds_gain_with_each_logit(terms: Contract):
    found, positive, step = outputs(maps(5)), (1, 3), 1e-5
    evidence = heatmap.evidence(found, with_classes(terms, 5, positive))
    assert evidence is not None
    assert found.map is not None

    def log_odds(logits: np.ndarray) -> float:
        p = positive_probability(logits, 1.0, positive)
        return float(np.log(p / (1 - p)))

    logits = found.scores.astype(np.float64)
    slopes = [(log_odds(logits + d) - log_odds(logits - d)) / (2 * step) for d in step * np.eye(5)]
    np.testing.assert_allclose(evidence, found.map @ np.array(slopes), atol=1e-4)


def test_without_positive_classes_it_speaks_for_the_top_one(terms: Contract):
    found = outputs(maps(4))
    top = int(np.argmax(found.scores))
    evidence = heatmap.evidence(found, with_classes(terms, 4, ()))
    wanted = heatmap.evidence(found, with_classes(terms, 4, (top,)))
    assert evidence is not None
    assert wanted is not None
    np.testing.assert_array_equal(evidence, wanted)


def test_a_model_without_a_map_has_none(terms: Contract):
    assert heatmap.evidence(Outputs(np.zeros(2, np.float32)), terms) is None


@pytest.mark.parametrize("mode", MODES)
def test_without_evidence_the_photograph_is_grey_and_otherwise_unchanged(
    mode: str, photo: np.ndarray
):
    before = photo.copy()
    drawn = heatmap.overlay(photo, np.zeros((7, 7), np.float32), Input(48, 48, resize=mode))
    seen = np.s_[:, 20:140] if mode == "crop" else np.s_[:]  # of 160 x 120: the middle square
    np.testing.assert_array_equal(drawn[seen], grey(photo)[seen])
    np.testing.assert_array_equal(photo, before)


def test_what_a_cropped_model_does_not_see_keeps_its_colours(photo: np.ndarray):
    evidence = np.full((7, 7), FULL)
    drawn = heatmap.overlay(photo, evidence, Input(48, 48, resize="crop"))
    for unseen in (np.s_[:, :20], np.s_[:, 140:]):
        np.testing.assert_array_equal(drawn[unseen], photo[unseen])
    assert (blue_or_yellow(drawn[:, 20:140]) == 1).all()


@pytest.mark.parametrize(
    ("mode", "rows", "columns"),
    [
        # Of 8 x 8 places the one in row 3, column 5 speaks for; 80 x 160 pixels.
        ("stretch", (30, 40), (100, 120)),
        ("crop", (30, 40), (40 + 50, 40 + 60)),
        ("pad", (60 - 40, 80 - 40), (100, 120)),
    ],
)
def test_evidence_lies_where_the_model_looked(
    mode: str, rows: tuple[int, int], columns: tuple[int, int]
):
    picture, evidence = np.full((80, 160, 3), 128, np.uint8), np.zeros((8, 8), np.float32)
    evidence[3, 5] = FULL
    drawn = heatmap.overlay(picture, evidence, Input(64, 64, resize=mode)).astype(float)
    weight = drawn[..., 0] - drawn[..., 2]
    down, across = (np.arange(n) + 0.5 for n in weight.shape)
    assert (weight.sum(1) @ down) / weight.sum() == pytest.approx(sum(rows) / 2, abs=0.2)
    assert (weight.sum(0) @ across) / weight.sum() == pytest.approx(sum(columns) / 2, abs=0.2)
    # It fades until the middles of the places around it.
    high, wide = rows[1] - rows[0], columns[1] - columns[0]
    far = weight.copy()
    far[
        rows[0] - high // 2 : rows[1] + high // 2, columns[0] - wide // 2 : columns[1] + wide // 2
    ] = 0
    assert (far == 0).all()


def test_for_is_yellow_against_is_blue_and_weak_evidence_is_weak():
    picture = np.full((40, 40, 3), 128, np.uint8)
    drawn = [
        heatmap.overlay(picture, np.full((2, 2), value, np.float32), Input(32, 32))
        for value in (-FULL, -FULL / 8, FULL / 8, FULL)
    ]
    assert [int(blue_or_yellow(each)[0, 0]) for each in drawn] == [-1, -1, 1, 1]
    strong = [np.abs(each.astype(int) - 128).max() for each in drawn]
    assert max(strong[1:3]) < 15 < 60 < min(strong[0], strong[3])


def test_beyond_the_scale_colour_does_not_grow():
    picture = np.full((40, 40, 3), 128, np.uint8)
    at, beyond = (
        heatmap.overlay(picture, np.full((2, 2), value, np.float32), Input(32, 32))
        for value in (FULL, 1000 * FULL)
    )
    np.testing.assert_array_equal(at, beyond)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2000, 3), (240, 320)])
def test_any_picture_can_be_overlaid(mode: str, shape: tuple[int, int]):
    picture = np.full((*shape, 3), 100, np.uint8)
    drawn = heatmap.overlay(picture, np.full((7, 7), FULL), Input(48, 96, resize=mode))
    assert (drawn.shape, drawn.dtype) == (picture.shape, np.uint8)


def test_the_legend_runs_from_against_to_for():
    (row,) = heatmap.legend(101, 1)
    assert blue_or_yellow(row)[[0, 50, 100]].tolist() == [-1, 0, 1]
