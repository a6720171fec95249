from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermedge.bundle import Bundle
from dermedge.consensus import Recent, agreement
from dermedge.contract import Contract
from dermedge.decide import Verdict, judge
from dermedge.diagnose import Diagnosis
from dermedge.model import Outputs
from dermedge.quality import Figures, Quality


def seen(probability: float, terms: Contract, *problems: str) -> Diagnosis:
    """What a frame of this probability of malignant gets."""
    each = np.array([1 - probability, probability])
    found = judge(each, terms, not problems)
    return Diagnosis(
        verdict=found.verdict,
        decision=found.decision,
        probability=probability,
        probabilities=tuple(each),
        outputs=Outputs(np.zeros(2, np.float32)),
        quality=Quality(Figures(64, 1.0, 128.0, 0.0), problems),
        latency_ms=1.0,
        bundle=Bundle(Path("none.kit"), "", terms, b"", ""),
    )


@pytest.mark.parametrize(
    ("probabilities", "mean", "verdict", "agreeing"),
    [
        # The contract's threshold is 0.4, uncertain from 0.38 to 0.42.
        ([0.9, 0.8, 0.9, 0.7, 0.8], 0.82, Verdict.REFER, 5),
        ([0.5, 0.5, 0.5, 0.3, 0.3], 0.42, Verdict.REFER, 3),
        ([0.1, 0.1, 0.2, 0.1, 0.5], 0.2, Verdict.CLEAR, 4),
        # One frame outweighs four others: no frame shall decide alone.
        ([1.0, 0.3, 0.3, 0.3, 0.3], 0.44, Verdict.UNCERTAIN, 1),
        ([0.6, 0.3], 0.45, Verdict.UNCERTAIN, 1),  # a half is not more than half
        ([0.4, 0.4, 0.4], 0.4, Verdict.UNCERTAIN, 3),
        ([0.9], 0.9, Verdict.REFER, 1),
    ],
)
def test_the_mean_decides_if_more_than_half_of_the_frames_say_so(
    probabilities: list[float], mean: float, verdict: Verdict, agreeing: int, terms: Contract
):
    recent = Recent(5)
    together = [recent.add(seen(p, terms), 1) for p in probabilities][-1]
    assert together.probability == pytest.approx(mean)
    assert (together.verdict, together.decision) == (verdict, verdict.value)
    assert (together.agreeing, together.averaged) == (agreeing, len(probabilities))


def test_only_the_last_frames_count(terms: Contract):
    recent = Recent(3)
    for probability in (0.9, 0.9, 0.1, 0.2, 0.3):
        together = recent.add(seen(probability, terms), 1)
    assert together.probability == pytest.approx(0.2)
    assert (together.agreeing, together.averaged) == (3, 3)


def test_frames_that_are_not_assessable_take_room_but_do_not_count(terms: Contract):
    recent, blurred = Recent(3), seen(0.9, terms, "blurred")
    assert recent.add(blurred, 1).verdict is Verdict.NOT_ASSESSABLE
    assert recent.add(seen(0.1, terms), 1).averaged == 1
    assert recent.add(blurred, 1).probability == pytest.approx(0.1)
    assert recent.add(blurred, 1).averaged == 1
    gone = recent.add(blurred, 1)
    assert (gone.probability, gone.averaged, gone.agreeing) == (None, 0, 0)


def test_another_model_or_another_opening_begins_anew(terms: Contract):
    recent = Recent(5)
    recent.add(seen(0.9, terms), 1)
    assert recent.add(seen(0.1, terms), 2).averaged == 1
    other = replace(terms)
    assert recent.add(seen(0.1, other), 2).averaged == 1
    assert recent.add(seen(0.1, other), 2).averaged == 2


def test_without_positive_classes_frames_agree_on_a_name(terms: Contract):
    labels = tuple(replace(label, positive=False) for label in terms.labels)
    decision = replace(terms.decision, uncertain_band=(0.0, 0.5))
    naming, recent = replace(terms, labels=labels, decision=decision), Recent(3)
    for probability in (0.9, 0.9, 0.2):
        together = recent.add(seen(probability, naming), 1)
    assert (together.verdict, together.decision) == (Verdict.NAMED, "malignant")
    assert (together.agreeing, together.averaged) == (2, 3)


def test_agreement_in_words():
    assert agreement(0, 0) == ""
    assert agreement(1, 1) == "one frame so far"
    assert agreement(2, 3) == "2 of 3 frames agree"
