"""A ladder -> the picture of speed against worth, one SVG element (needs the report extra)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dermcompress.ladder import Climbed, Ladder
from dermedge.plots import FULL, SMALL
from dermedge.svg import GREY, INK, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_LEAST, _MOST = 24.0, 420.0  # areas of the dots, square points
_STEPS = (1, 1.5, 2, 3, 5, 7)
_DISTANCES = (4.0, 12.0, 22.0, 34.0, 48.0, 64.0)  # of a name from its dot, points
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name stands: offset from its dot, points, alignment, and whether it needs a line."""

    offset: tuple[float, float]
    across: str
    along: str
    far: bool


def pareto(ladder: Ladder) -> str:
    """Median latency against AUC with its interval; a dot's area is that of the model file."""
    rungs, front = ladder.rungs, ladder.front()
    setting = ladder.setting
    with canvas("Speed against AUC of every rung", setting.made_up, (8.6, 4.8)) as (axes, svg):
        beyond = ([rung.ms for rung in front], [rung.auc for rung in front])
        dash: Any = (0, (2, 3))
        label = "none is both faster and better"
        axes.plot(*beyond, color=GREY, linewidth=1, linestyle=dash, zorder=1, label=label)
        sizes = _areas(rungs)
        for rung, area in zip(rungs, sizes, strict=True):
            found = rung.measured.figures.auc
            colour, style = _style(ladder, rung)
            axes.vlines(rung.ms, found.low, found.high, color=colour, linewidth=1.1, alpha=0.55)
            axes.scatter(rung.ms, found.value, s=area, zorder=3, **style)
        _legend(axes, ladder)
        if ladder.limits.max_ms is not None:
            axes.axvline(ladder.limits.max_ms, color=INK, linewidth=1)
        _scale(axes, ladder)
        _name(axes, ladder, sizes)
    return svg()


def _style(ladder: Ladder, rung: Climbed) -> tuple[str, dict[str, Any]]:
    """Colour, and the dot: filled if the rung passes, hollow if it fails, a square if it is full.

    The colour is never the only difference.
    """
    if rung is ladder.full:
        return INK, {"color": INK, "marker": "s", "linewidths": 0}
    if rung.failures:
        return SMALL, {"facecolors": "white", "edgecolors": SMALL, "linewidths": 1.8}
    return FULL, {"color": FULL, "linewidths": 0}


def _legend(axes: Axes, ladder: Ladder) -> None:
    """One entry for each kind of dot that there is."""
    kinds = {
        "full model": [ladder.full],
        "passes the gate": [rung for rung in ladder.small if not rung.failures],
        "fails": [rung for rung in ladder.small if rung.failures],
    }
    for name, members in kinds.items():
        if members:
            axes.scatter([], [], s=50, label=name, **_style(ladder, members[0])[1])
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.3, columnspacing=1.4
    )


def _areas(rungs: Sequence[Climbed]) -> list[float]:
    """Area of each dot, square points: in proportion to the file, but never too small to see."""
    largest = max(rung.measured.sizes.model for rung in rungs)
    return [max(_LEAST, _MOST * rung.measured.sizes.model / largest) for rung in rungs]


def _scale(axes: Axes, ladder: Ladder) -> None:
    """A logarithmic axis with round numbers, and room for names on all sides."""
    known = [rung.ms for rung in ladder.rungs]
    known += [ladder.limits.max_ms] if ladder.limits.max_ms is not None else []
    low, high = min(known) / 1.6, max(known) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = [step * 10**power for power in powers for step in _STEPS]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.margins(y=0.12)
    axes.set(xlabel="Milliseconds from pixels to verdict (median)", ylabel="AUC with 95 % interval")


def _name(axes: Axes, ladder: Ladder, areas: Sequence[float]) -> None:
    """Write each rung's name beside its dot, at the nearest place where it covers nothing."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout is settled from here on
    dots = list(zip(ladder.rungs, areas, strict=True))
    taken = [box for rung, area in dots for box in _boxes(axes, rung, area)]
    if ladder.limits.max_ms is not None:
        taken.append(_upright(axes, ladder.limits.max_ms, *axes.get_ylim()))
    best = ladder.best()
    for rung, area in sorted(dots, key=lambda dot: dot[0].ms):
        weight = "bold" if rung is best else "normal"
        taken.append(_place(axes, rung, area**0.5 / 2, weight, taken))


def _place(axes: Axes, rung: Climbed, radius: float, weight: str, taken: Sequence[Bbox]) -> Bbox:
    """Write a name at the first place that is free, else at the farthest; its box, pixels."""
    inside, where = axes.get_window_extent(), (rung.ms, rung.auc)
    beside: Any = {"xy": where, "textcoords": "offset points"}
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}  # over the front
    text = axes.annotate(
        rung.name, xytext=(0, 0), color=INK, weight=weight, zorder=2.5, bbox=paper, **beside
    )

    def box(place: _Place) -> Bbox:
        text.set(position=place.offset, ha=place.across, va=place.along)
        return text.get_window_extent().padded(1)

    def free(place: _Place) -> bool:
        words = box(place)
        fits = inside.x0 <= words.x0 and words.x1 <= inside.x1 and inside.y0 <= words.y0
        return fits and not any(words.overlaps(other) for other in taken)

    places = tuple(_places(radius))
    found = next(filter(free, places), places[-1])
    if found.far:  # else it is hard to tell whose name it is
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 0, "shrinkB": radius}
        axes.annotate("", xytext=found.offset, arrowprops=line, zorder=2, **beside)
    return box(found)


def _places(radius: float) -> Iterator[_Place]:
    """Where a name may stand around a dot of this radius, points; the nearest places first."""
    for distance in _DISTANCES:
        for x, y in _SIDES:
            reach = (radius + distance) * (0.7 if x and y else 1.0)
            across = {1: "left", -1: "right", 0: "center"}[x]
            along = {1: "bottom", -1: "top", 0: "center"}[y]
            yield _Place((x * reach, y * reach), across, along, distance > _DISTANCES[0])


def _boxes(axes: Axes, rung: Climbed, area: float) -> Iterator[Bbox]:
    """What a name must not cover: the dot and its interval, pixels."""
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    radius = area**0.5 / 2 * figure.dpi / 72 + 1
    found = rung.measured.figures.auc
    x, y = axes.transData.transform((rung.ms, found.value))
    yield Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)
    yield _upright(axes, rung.ms, found.low, found.high)


def _upright(axes: Axes, ms: float, low: float, high: float) -> Bbox:
    """A thin line from one AUC to another, pixels."""
    from matplotlib.transforms import Bbox

    (x, bottom), (_, top) = axes.transData.transform([(ms, low), (ms, high)])
    return Bbox.from_extents(x - 2, bottom, x + 2, top)
