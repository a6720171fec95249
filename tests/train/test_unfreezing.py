"""When a phase may unfreeze learnt layers, and the errors and warnings when it may not yet."""

from dataclasses import replace

import pytest

from dermedge.errors import InputError
from dermtrain import unfreezing
from dermtrain.recipe import STAGES, Phase, Recipe
from dermtrain.weights import Filled

HEAD = Phase("transfer")


def _recipe(*parts: str, **changes: bool) -> Recipe:
    return Recipe("r", phase=(HEAD, *(Phase(p, train=p) for p in parts)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "random"),
    [
        (("conv5",), ()),
        (("conv5",), ("conv5",)),
        (("conv5", "conv4"), ("conv5",)),
        (("conv5", "conv4_block4", "conv4", "conv3"), ()),
        (("conv1",), STAGES),
        (("conv4",), ("conv4", "conv5")),
    ],
)
def test_from_the_top_one_after_the_other_is_fine(
    parts: tuple[str, ...], random: tuple[str, ...]
) -> None:
    unfreezing.check(_recipe(*parts), random)
    assert unfreezing.warning(_recipe(*parts), random) == ""


@pytest.mark.parametrize(
    ("parts", "random", "waiting"),
    [
        (("conv4",), (), "conv5"),
        (("conv4",), ("conv5",), "conv5"),
        (("conv5", "conv3"), (), "conv4"),
        (("conv1",), ("conv5",), "conv2, conv3, conv4, conv5"),
    ],
)
def test_too_early_is_refused_with_the_reason_or_warned_about_if_asked_for(
    parts: tuple[str, ...], random: tuple[str, ...], waiting: str
) -> None:
    words = f"before {waiting} has been trained: large, aimless gradients"
    with pytest.raises(InputError, match=words):
        unfreezing.check(_recipe(*parts), random)
    unfreezing.check(_recipe(*parts, unfreeze_early=True), random)
    assert words in unfreezing.warning(_recipe(*parts, unfreeze_early=True), random)


def test_a_head_that_was_not_solved_is_waited_for_too() -> None:
    how = replace(_recipe("conv5"), phase=(replace(HEAD, epochs=0), Phase("a", train="conv5")))
    with pytest.raises(InputError, match="before head has been trained"):
        unfreezing.check(how, ())


def test_random_stages_are_named_from_the_bottom() -> None:
    filled = Filled("x", (), ("head", "conv5_block1_1_conv", "conv4_block1_1_bn"))
    assert unfreezing.random_stages(filled) == ["conv4", "conv5"]
