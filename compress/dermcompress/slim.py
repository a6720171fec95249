"""Structured pruning: whole channels leave, everywhere, and the rest is reconstructed.

In rounds: what a channel matters depends on which others are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from dermcompress import importance, student, widths
from dermcompress.graph import Channels, Mask, channels
from dermcompress.importance import Scores
from dermcompress.rebuild import cut
from dermcompress.reconstruct import reconstruct
from dermedge.progress import Progress, silent

_SCANNED = 32  # photographs on which a space's sensitivity is measured


@dataclass(frozen=True, slots=True)
class Aim:
    """How much leaves, and how it is chosen.

    Attributes:
        work: Share of the multiply-accumulates that stay, above 0 to 1.
        criterion: `taylor`, `l1`, `bn` or `random`; see `importance`.
        rounds: In how many rounds the channels leave.
        even: Every space keeps the same share, instead of what a scan of its sensitivity allows.
    """

    work: float
    criterion: str = "taylor"
    rounds: int = 2
    even: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What slimming looks at: uint8 (photographs, side, side, 3), and their classes."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slimmed:
    """A slim net, and which of the full one's channels are left.

    Attributes:
        net: The net.
        stays: Layer name -> bool (the full output's channels,).
    """

    net: keras.Model
    stays: Mapping[str, Mask]


def slim(
    full: keras.Model,
    aim: Aim,
    seen: Seen,
    seed: int,
    progress: Progress = silent,
    norms: Mapping[str, npt.NDArray] | None = None,
) -> Slimmed:
    """Take channels out of a net.

    Args:
        full: A functional net that gives logits; batch normalisation folded, see `fold`.
        aim: How much leaves.
        seen: Training photographs.
        seed: Of chance and of the solver's samples.
        progress: Told of the stages.
        norms: For the criterion `bn`: of the net before it was folded, see `importance.scales`.

    Raises:
        InputError: A share that would leave a layer empty.
    """
    net, whole = full, channels(full)
    stays = {name: np.ones(len(ids), bool) for name, ids in whole.of.items()}
    widths.check(whole, aim.work)  # before the minutes that a scan takes
    least = widths.floors(whole)
    for number in range(1, aim.rounds + 1):
        found = channels(net)
        work = aim.work ** (number / aim.rounds)
        scales = {name: scale[stays[name]] for name, scale in (norms or {}).items()}
        scores = _scores(net, found, aim, seen, seed, scales)
        random = np.random.default_rng([seed, number])
        some = np.sort(random.permutation(len(seen.pixels))[:_SCANNED])
        if aim.even:
            kept = widths.even(whole, work)
        else:
            damages = widths.scan(net, found, scores, seen.pixels[some], progress)
            # Widths go in steps, so that the rounds before may have taken more than they should.
            share = min(1.0, work * student.macs(full) / student.macs(net))
            kept = widths.choose(found, damages, share, least)
        leaving: set[int] = set()
        for space in found.spaces():
            order = widths.ranked(space, scores)
            leaving |= set(order[: len(order) - kept[space.name]].tolist())
        net = cut(net, found, leaving)
        for name, mask in found.masks(leaving).items():
            stays[name][stays[name]] = mask
        reconstruct(full, net, stays, seen.pixels, seed, progress)
    return Slimmed(net, stays)


def _scores(
    net: keras.Model,
    found: Channels,
    aim: Aim,
    seen: Seen,
    seed: int,
    scales: Mapping[str, npt.NDArray],
) -> Scores:
    if aim.criterion == "taylor":
        return importance.taylor(net, found, seen.pixels, seen.labels)
    if aim.criterion == "l1":
        return importance.l1(found)
    if aim.criterion == "bn":
        return importance.summed(found, scales)
    return importance.chance(found, seed)
