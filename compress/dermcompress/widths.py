"""How many channels each space keeps: a measured sensitivity, and a budget of arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from dermcompress.graph import Channels, Node, Space, mixes
from dermcompress.importance import Scores
from dermedge.errors import InputError
from dermedge.progress import Progress, silent

MULTIPLE = 8  # widths that vector units like
LEAST = 0.125  # share that every space keeps
KEPT = (LEAST, 0.25, 0.5, 0.75)  # shares at which the scan measures


@dataclass(frozen=True, slots=True)
class Damage:
    """What it does to the net when a space keeps only its most important channels.

    Attributes:
        space: The space.
        kept: Shares kept, rising, the last one 1.
        loss: Mean squared change of the logits in units of their variance, for each share.
    """

    space: Space
    kept: tuple[float, ...]
    loss: tuple[float, ...]

    def at(self, width: int) -> float:
        """The same for a width in channels, between the measured ones on a straight line."""
        return float(np.interp(width / len(self.space.ids), self.kept, self.loss))


def ranked(space: Space, scores: Scores) -> npt.NDArray[np.int64]:
    """The channels of a space, the least important one first."""
    return space.ids[np.argsort(scores[space.ids], kind="stable")]


def scan(
    model: keras.Model,
    channels: Channels,
    scores: Scores,
    pixels: npt.NDArray[np.uint8],
    progress: Progress = silent,
) -> list[Damage]:
    """Measure, space by space, what it does when nobody reads its least important channels.

    The readers' weights are set to 0 for the moment, which gives the same output as leaving the
    channels out; nothing is mended.

    Args:
        model: Gives logits, as its first output.
        channels: Of the same net.
        scores: By channel number, see `importance`.
        pixels: uint8 (photographs, side, side, 3).
        progress: Told of the spaces done.
    """
    x = tf.constant(pixels.astype(np.float32))
    only = keras.Model(model.input, model.outputs[0])
    run = tf.function(lambda: only(x, training=False))
    full = run().numpy()
    unit = max(float(full.var(axis=0).mean()), 1e-12)
    found, spaces = [], channels.spaces()
    for done, space in enumerate(spaces, 1):
        losses = []
        for share in KEPT:
            leaving = ranked(space, scores)[: len(space.ids) - round(share * len(space.ids))]
            with _unread(channels, leaving):
                losses.append(float(np.square(run().numpy() - full).mean()) / unit)
        # Where a smaller share does less damage, that is chance of so few photographs.
        falling = np.maximum.accumulate([0.0, *reversed(losses)])[::-1]
        found.append(Damage(space, (*KEPT, 1.0), tuple(float(x) for x in falling)))
        progress("sensitivity", done, len(spaces))
    return found


@contextmanager
def _unread(channels: Channels, leaving: npt.NDArray[np.int64]) -> Iterator[None]:
    """Nobody reads these channels while this lasts."""
    readers = [node for node in channels.nodes if mixes(node.layer)]
    kept = []
    for node in readers:
        gone = np.isin(channels.read_by(node), leaving)
        if gone.any():
            kept.append((node.layer.kernel, node.layer.kernel.numpy()))
            node.layer.kernel.assign(kept[-1][1] * ~gone[:, None])
    try:
        yield
    finally:
        for kernel, values in kept:
            kernel.assign(values)


class Arithmetic:
    """Multiply-accumulates for one photograph as a function of the spaces' widths."""

    def __init__(self, channels: Channels, spaces: Sequence[Space]) -> None:
        """Count what each layer reads and writes of each space."""
        number = {int(i): s for s, space in enumerate(spaces) for i in space.ids}
        self._sizes = _sizes(spaces)
        work, read, written = [], [], []
        for node in channels.nodes:
            if times := positions(node):
                work.append(times)
                written.append(_counted(channels.of[node.name], number, len(spaces)))
                # A depthwise convolution reads one channel for each that it writes.
                few = np.append(np.zeros(len(spaces)), float(reads(node)))
                mixed = mixes(node.layer)
                read.append(_counted(channels.read_by(node), number, len(spaces)) if mixed else few)
        self._work, self._read, self._written = map(np.array, (work, read, written))

    def total(self, widths: npt.NDArray[np.int64]) -> float:
        """Of the whole net with these widths of the spaces, in their order."""
        shares = np.append(widths / self._sizes, 1.0)
        return float(self._work @ ((self._written @ shares) * (self._read @ shares)))


def _counted(ids: npt.NDArray[np.int64], number: Mapping[int, int], spaces: int) -> npt.NDArray:
    """How many of these channels each space holds, and (last) how many never leave."""
    counts = np.zeros(spaces + 1)
    for i in ids.tolist():
        counts[number.get(i, spaces)] += 1
    return counts


def positions(node: Node) -> int:
    """Times that a layer applies each of its weights to one photograph, by channel pair; or 0."""
    layer = node.layer
    if isinstance(layer, keras.layers.Dense):
        return 1
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        _, height, width, _ = layer.input_shape if transposed else layer.output_shape
        return height * width * int(np.prod(layer.kernel_size))
    return 0


def reads(node: Node) -> int:
    """Input channels that each output channel of a convolution or dense layer reads."""
    shape = node.layer.weights[0].shape
    if isinstance(node.layer, keras.layers.DepthwiseConv2D):
        return 1
    return int(shape[-1 if isinstance(node.layer, keras.layers.Conv2DTranspose) else -2])


def floors(channels: Channels) -> dict[str, int]:
    """Name of each space -> channels that it keeps in any case: at least eight and an eighth."""
    return {space.name: _floor(len(space.ids)) for space in channels.spaces()}


def check(channels: Channels, work: float, least: Mapping[str, int] | None = None) -> None:
    """Refuse a share of the arithmetic that is less than an eighth of all channels needs.

    Args:
        channels: Of the net.
        work: The share.
        least: Widths to keep, if the net has been slimmed before: the `floors` of the whole one.

    Raises:
        InputError: It is.
    """
    spaces = channels.spaces()
    arithmetic = Arithmetic(channels, spaces)
    left = arithmetic.total(_least(spaces, least)) / arithmetic.total(_sizes(spaces))
    if left > work:
        raise InputError(
            f"a share of {work:.0%} of the arithmetic would leave layers all but empty: with "
            f"{LEAST:.1%} of the channels everywhere {left:.0%} is left; raise `work`"
        )


def _sizes(spaces: Sequence[Space]) -> npt.NDArray[np.int64]:
    return np.array([len(space.ids) for space in spaces])


def _floor(size: int) -> int:
    return min(math.ceil(max(1, LEAST * size / MULTIPLE)) * MULTIPLE, size)


def _least(
    spaces: Sequence[Space], least: Mapping[str, int] | None = None
) -> npt.NDArray[np.int64]:
    known = least or {}
    return np.array([known.get(space.name, _floor(len(space.ids))) for space in spaces])


def choose(
    channels: Channels,
    damages: Sequence[Damage],
    work: float,
    least: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Widths for a share of the arithmetic, in multiples of 8.

    Again and again that space gives up eight channels whose damage is least for the arithmetic that
    it saves.

    Args:
        channels: Of the net.
        damages: From `scan`.
        work: Share of the multiply-accumulates that may stay, above 0 to 1.
        least: As of `check`.

    Returns:
        Name of the space -> channels that stay, at least eight and an eighth.

    Raises:
        InputError: Even an eighth of the channels everywhere is more than that.
    """
    spaces = [damage.space for damage in damages]
    arithmetic = Arithmetic(channels, spaces)
    widths, kept = _sizes(spaces), _least(spaces, least)
    check(channels, work, least)
    whole = total = arithmetic.total(widths)
    while total > work * whole:
        offers = []
        for i in np.flatnonzero(widths > kept).tolist():
            fewer = widths.copy()
            fewer[i] = (widths[i] - 1) // MULTIPLE * MULTIPLE
            left = arithmetic.total(fewer)
            damage = damages[i].at(int(fewer[i])) - damages[i].at(int(widths[i]))
            # The last term breaks ties in favour of the greatest saving.
            offers.append(((damage + 1e-9) / max(total - left, 1.0), i, fewer, left))
        _, _, widths, total = min(offers, key=lambda offer: offer[:2])
    return {space.name: int(width) for space, width in zip(spaces, widths, strict=True)}


def even(channels: Channels, work: float) -> dict[str, int]:
    """Widths for a share of the arithmetic where every space keeps the same share of its channels.

    The greatest such share, in multiples of 8; see `choose`.
    """
    check(channels, work)
    spaces = channels.spaces()
    arithmetic, sizes, least = Arithmetic(channels, spaces), _sizes(spaces), _least(spaces)
    whole = arithmetic.total(sizes)

    def widths(share: float) -> npt.NDArray[np.int64]:
        rounded = np.rint(share * sizes / MULTIPLE) * MULTIPLE
        return np.clip(rounded, least, sizes).astype(np.int64)

    fits = (
        share for share in np.linspace(1, 0, 512) if arithmetic.total(widths(share)) <= work * whole
    )
    return dict(zip((s.name for s in spaces), widths(next(fits)).tolist(), strict=True))
