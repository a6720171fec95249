"""Does a map mean something: what is left of the probability as the photograph is taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dermedge.intervals import Interval
from dermtrain.explain.maps import Map, resized

GRID, STEPS, RANDOM, BATCH = 16, 10, 3, 32

# (n, height, width, 3) of pixels -> (n,) probabilities of the positive classes
Score = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Curves:
    """Deletion curves of one photograph.

    Attributes:
        image: Its name.
        label: Its label.
        probability: For each order of deletion, float64 (orders of this kind, STEPS + 1): the
            probability with 0/STEPS, 1/STEPS, ... of the photograph taken away.
    """

    image: str
    label: str
    probability: Mapping[str, npt.NDArray[np.float64]]

    def area(self, name: str) -> float:
        """Mean area under the curves of one kind, 0 to 1; small where what counted went first."""
        return float(area(self.probability[name]).mean())


def ranks(values: Map, generator: np.random.Generator, grid: int = GRID) -> npt.NDArray[np.int64]:
    """When each block of the photograph is taken away by a map: the greatest value first.

    Blocks of equal value go in random order, lest they go row by row.

    Args:
        values: float32 (height, width), of any size.
        generator: Decides ties.
        grid: Blocks along a side.

    Returns:
        int64 (grid, grid), 0 for the first block.
    """
    flat = resized(values, grid, grid).ravel()
    order = np.lexsort((generator.random(flat.size), -flat))
    return _places(order).reshape(grid, grid)


def random_ranks(generator: np.random.Generator, grid: int = GRID) -> npt.NDArray[np.int64]:
    """Blocks in random order, int64 (grid, grid)."""
    return _places(generator.permutation(grid * grid)).reshape(grid, grid)


def centre_ranks(generator: np.random.Generator, grid: int = GRID) -> npt.NDArray[np.int64]:
    """Blocks from the middle outwards, int64 (grid, grid): all that is known is where one aims."""
    row, column = np.indices((grid, grid)) - (grid - 1) / 2
    return ranks(-np.hypot(row, column).astype(np.float32), generator, grid)


def erased(pixels: npt.NDArray) -> npt.NDArray:
    """What stands where a photograph was taken away: itself, blurred beyond recognition.

    Blur (a tenth of the side) leaves colours and light as they were, and fewer hard edges, which
    the net would take for structure, than one flat colour does (Petsiuk et al. 2018).

    Args:
        pixels: (height, width, 3).
    """
    return cv2.GaussianBlur(pixels, (0, 0), max(pixels.shape[:2]) / 10)  # type: ignore[return-value]


def curve(
    score: Score,
    pixels: npt.NDArray,
    rank: npt.NDArray[np.int64],
    steps: int = STEPS,
    gone: npt.NDArray | None = None,
) -> npt.NDArray[np.float64]:
    """Deletion curve (RISE, Petsiuk et al. 2018), block by block.

    Args:
        score: Probability of prepared photographs.
        pixels: One prepared photograph, (height, width, 3).
        rank: When each block goes, int64 (grid, grid).
        steps: Steps from nothing to everything taken away.
        gone: What stands in the place of what went; `erased` by default.

    Returns:
        float64 (steps + 1,).
    """
    return curves(score, pixels, [rank], steps, gone)[0]


def curves(
    score: Score,
    pixels: npt.NDArray,
    orders: Sequence[npt.NDArray[np.int64]],
    steps: int = STEPS,
    gone: npt.NDArray | None = None,
) -> npt.NDArray[np.float64]:
    """Deletion curves of one photograph for several orders, float64 (orders, steps + 1).

    The whole and the empty photograph are the same for all orders and scored once.
    """
    gone = erased(pixels) if gone is None else gone
    between = steps - 1
    values = np.empty(2 + len(orders) * between)
    done = 0
    for batch in _batches(_pictures(pixels, gone, orders, steps)):
        values[done : done + len(batch)] = score(batch)
        done += len(batch)
    whole, empty = np.full((2, len(orders), 1), values[:2, None, None])
    return np.concatenate([whole, values[2:].reshape(len(orders), between), empty], axis=1)


def area(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Area under curves over the share taken away, by trapezoids: (..., steps + 1) -> (...)."""
    values = np.asarray(values, np.float64)
    return ((values[..., 1:] + values[..., :-1]) / 2).mean(axis=-1)


def difference(found: Sequence[Curves], name: str, reference: str, seed: int = 0) -> Interval:
    """Mean difference of the areas, `name` minus `reference`, over photographs.

    With the percentile bootstrap of the photographs (9,999 draws); below 0, the order of `name`
    takes away what counted sooner. Of one photograph the bounds are not a number.
    """
    from scipy.stats import bootstrap

    gains = np.array([c.area(name) - c.area(reference) for c in found])
    mean = float(gains.mean())
    if len(gains) < 2:
        return Interval(mean, float("nan"), float("nan"), "none")
    generator = np.random.default_rng(seed)
    result = bootstrap((gains,), np.mean, method="percentile", random_state=generator)
    low, high = result.confidence_interval
    return Interval(mean, float(low), float(high), "percentile bootstrap")


def _pictures(
    pixels: npt.NDArray,
    gone: npt.NDArray,
    orders: Sequence[npt.NDArray[np.int64]],
    steps: int,
) -> Iterator[npt.NDArray]:
    """The whole, the empty, then each order's photographs in between."""
    yield pixels
    yield gone
    height, width = pixels.shape[:2]
    for rank in orders:
        grid = len(rank)
        rows, columns = (np.arange(side) * grid // side for side in (height, width))
        when = rank[rows][:, columns]
        for step in range(1, steps):
            yield np.where((when < round(rank.size * step / steps))[..., None], gone, pixels)


def _batches(pictures: Iterator[npt.NDArray]) -> Iterator[npt.NDArray[np.float32]]:
    block: list[npt.NDArray] = []
    for picture in pictures:
        block.append(picture)
        if len(block) == BATCH:
            yield np.stack(block).astype(np.float32)
            block = []
    if block:
        yield np.stack(block).astype(np.float32)


def _places(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Order of blocks -> each block's place in it."""
    places = np.empty(order.size, np.int64)
    places[order] = np.arange(order.size)
    return places
