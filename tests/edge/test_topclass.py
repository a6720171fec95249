"""Figures of models without positive classes: against scikit-learn, DeLong and first principles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermedge import delong, macro, topclass
from dermedge.errors import InputError


def simulated(rows: int, classes: int, seed: int, skill: float = 1.5):
    """True classes and probabilities that lean on them."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=rows)
    logits = random.normal(0, 1, (rows, classes))
    logits[np.arange(rows), truth] += skill
    powers = np.exp(logits)
    return truth, powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_figures_are_scikit_learns(classes: int):
    sk = pytest.importorskip("sklearn.metrics")
    truth, each = simulated(300, classes, seed=classes)
    found = topclass.figures(truth, each, 0.5)
    if classes == 2:
        expected = sk.roc_auc_score(truth, each[:, 1])
    else:
        expected = sk.roc_auc_score(truth, each, multi_class="ovr", average="macro")
    assert found.auc.value == pytest.approx(expected, abs=1e-12)
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(truth, each.argmax(1)))
    assert found.balanced_accuracy == pytest.approx(
        sk.balanced_accuracy_score(truth, each.argmax(1))
    )
    if classes > 3:
        assert found.top3.value == pytest.approx(sk.top_k_accuracy_score(truth, each, k=3))
    one_hot = np.eye(classes)[truth]
    assert found.brier == pytest.approx(((each - one_hot) ** 2).sum(1).mean())


@pytest.mark.parametrize("seed", range(5))
def test_with_two_classes_interval_and_difference_are_delongs_own(seed: int):
    truth, one = simulated(120, 2, seed)
    _, other = simulated(120, 2, seed + 100)
    positive = truth == 1
    found, known = macro.macro_auc_interval(truth, one), delong.auc_interval(positive, one[:, 1])
    assert (found.value, found.low, found.high) == pytest.approx(
        (known.value, known.low, known.high), abs=1e-12
    )
    ours = macro.macro_auc_difference(truth, one, other)
    theirs = delong.auc_difference(positive, one[:, 1], other[:, 1])
    assert ours.interval.low == pytest.approx(theirs.interval.low, abs=1e-12)
    assert ours.p_value == pytest.approx(theirs.p_value, abs=1e-12)


@pytest.mark.parametrize("rows", [(8, 8), (1, 9)])
def test_with_two_classes_that_are_told_apart_perfectly_too(rows: tuple[int, int]):
    truth = np.repeat([0, 1], rows)
    one = np.eye(2)[truth]
    other = np.linspace([0.6, 0.4], [0.4, 0.6], len(truth))
    found, known = macro.macro_auc_interval(truth, one), delong.auc_interval(truth == 1, one[:, 1])
    assert found.low == pytest.approx(known.low)
    assert found.low < found.high == 1
    ours = macro.macro_auc_difference(truth, one, other)
    theirs = delong.auc_difference(truth == 1, one[:, 1], other[:, 1])
    assert ours.p_value is theirs.p_value is None
    assert (ours.interval.low, ours.interval.high) == pytest.approx(
        (theirs.interval.low, theirs.interval.high)
    )
    assert not ours.within(0.02)


@pytest.mark.parametrize("third", [1, 2, 40])
def test_intervals_cover_what_they_should_with_few_photographs_of_a_class(third: int):
    """The difference of two models that are equally good, drawn again and again."""
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], (60, 60, third))
    covered = 0
    for _ in range(300):
        shared = random.normal(size=(len(truth), 3)) + np.eye(3)[truth]
        one, other = (shared + random.normal(size=shared.shape) for _ in range(2))
        found = macro.macro_auc_difference(truth, one, other).interval
        covered += found.low <= 0 <= found.high
    # With two photographs DeLong's own interval of two classes covers 0.82.
    assert covered / 300 > (0.82 if third == 2 else 0.92)


def test_interval_of_several_classes_is_that_of_a_stratified_bootstrap():
    truth, each = simulated(400, 4, seed=1)
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == c) for c in range(4)]
    drawn = []
    for _ in range(300):
        rows = np.concatenate([random.choice(g, len(g)) for g in groups])
        drawn.append(macro.macro_auc(truth[rows], each[rows]))
    found = macro.macro_auc_interval(truth, each)
    width = 2 * 1.96 * np.std(drawn)
    assert found.high - found.low == pytest.approx(width, rel=0.15)


def test_the_same_model_twice_does_not_differ():
    truth, each = simulated(60, 3, seed=0)
    found = macro.macro_auc_difference(truth, each, each).interval
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("truth", "each"),
    [
        (np.zeros(4, int), np.full((4, 2), 0.5)),
        (np.array([0, 1, 1]), np.array([[0.5, np.nan]] * 3)),
    ],
)
def test_what_has_no_auc_is_refused(truth: np.ndarray, each: np.ndarray):
    with pytest.raises(InputError, match="two classes or more, and finite"):
        topclass.figures(truth, each, 0.5)


def test_nothing_named_has_no_accuracy_of_the_named():
    truth, each = simulated(50, 3, seed=0)
    found = topclass.figures(truth, each, 1.0)
    assert found.named.value == 0
    assert found.named_accuracy is None


rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=60
)


@given(pairs=rows, goal=st.sampled_from([0.5, 0.9, 1.0]), least=st.integers(1, 12))
def test_threshold_is_the_lowest_that_gives_the_accuracy(
    pairs: list[tuple[bool, float]], goal: float, least: int
):
    correct, leading = (np.array(values) for values in zip(*pairs, strict=True))

    def holds(threshold: float) -> bool:
        passed = leading >= threshold
        return bool(passed.sum() >= least and correct[passed].sum() >= goal * passed.sum())

    found = topclass.threshold_for(correct, leading, goal, least)
    supported = [t for t in {*leading.tolist()} if holds(t)]
    if not supported:
        assert found == 1
    else:
        assert found == min(min(supported), np.nextafter(1.0, 0.0))
        assert holds(found)
