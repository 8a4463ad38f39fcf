"""Draws the critical-difference diagram of Demsar (2006): mean ranks on an axis, bars over methods that do not differ.

Where everything goes is computed in inches before anything is drawn, so that the size follows from the number of
methods and no name, leader or bar lies on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np

from evosparse.errors import BadInput
from evosparse.pictures import new_figure, undated
from evosparse.report.ranks import Comparison, Ranking, cliques, critical_difference

_NAME_GAP = 0.2  # inches between the baselines of names
_BAR_GAP = 0.09  # inches between bars
_OVERHANG = 0.015  # inches by which a bar passes the mean ranks at its ends; more would seem to reach close neighbours
_STUB = 0.25  # inches of a leader beyond the axis


@dataclass(frozen=True)
class Leader:
    """A method's line from its mean rank on the axis down and out to its name.

    Args:
        method: its place in the ranking.
        x: inches from the left end of the axis.
        y: inches below the axis at which the name stands.
        left: whether the name stands at the left.
    """

    method: int
    x: float
    y: float
    left: bool


@dataclass(frozen=True)
class Bar:
    """A bar that joins a group of methods that do not differ.

    Args:
        methods: their places in the ranking.
        start: inches from the left end of the axis.
        stop: where it ends.
        y: inches below the axis.
    """

    methods: tuple[int, ...]
    start: float
    stop: float
    y: float


@dataclass(frozen=True)
class Layout:
    """Where the parts of a diagram stand; the left end of the axis is the origin.

    Args:
        first: the whole rank at the left end of the axis.
        last: the one at its right end.
        inches_per_rank: scale of the axis.
        leaders: one for each method, from the best to the worst.
        bars: one for each group.
    """

    first: int
    last: int
    inches_per_rank: float
    leaders: tuple[Leader, ...]
    bars: tuple[Bar, ...]

    @property
    def width(self) -> float:
        """Length of the axis in inches."""
        return (self.last - self.first) * self.inches_per_rank


def arrange(ranking: Ranking, groups: Sequence[tuple[int, ...]]) -> Layout:
    """Find a place for every part of the diagram.

    Args:
        ranking: of the methods.
        groups: places in `ranking.methods` of methods that do not differ, consecutive in rank, best first.
    """
    ranks = ranking.mean_ranks
    first = floor(ranks.min())
    last = max(ceil(ranks.max()), first + 1)
    scale = max(4.0, 0.2 * len(ranks)) / (last - first)
    x = ((ranks - first) * scale).tolist()
    bars: list[Bar] = []
    row_ends: list[float] = []
    for group in groups:
        start, stop = x[group[0]] - _OVERHANG, x[group[-1]] + _OVERHANG
        free = (row for row, end in enumerate(row_ends) if end + _BAR_GAP < start)
        row = next(free, len(row_ends))
        row_ends[row : row + 1] = [stop]
        bars.append(Bar(group, start, stop, (row + 1.5) * _BAR_GAP))
    top = (len(row_ends) + 1) * _BAR_GAP + _NAME_GAP
    order = np.argsort(ranks, kind="stable").tolist()
    half = (len(order) + 1) // 2
    # The outermost methods have the uppermost names. The leaders of either side are nested then and never cross.
    leaders = [
        Leader(method, x[method], top + min(place, len(order) - 1 - place) * _NAME_GAP, left=place < half)
        for place, method in enumerate(order)
    ]
    return Layout(first, last, scale, tuple(leaders), tuple(bars))


def draw_critical_differences(
    ranking: Ranking, path: Path, title: str = "", comparisons: Sequence[Comparison] | None = None
) -> None:
    """Draw the mean ranks of methods, the best at the left, with a bar over each group that does not differ.

    Unlike in Demsar's figures the best ranks are at the left, where reading begins. Each name has its mean rank beside
    it. Bars join the methods that do not differ at 5 % by Nemenyi's test, whose critical difference is then drawn above
    the axis, or that do not by the comparisons.

    Args:
        ranking: of the methods.
        path: a picture file that ends in ``.png`` or ``.svg``; equal rankings give equal files.
        title: drawn above.
        comparisons: of all pairs of methods, as by `wilcoxon_holm`; None for Nemenyi's test.

    Raises:
        BadInput: the picture has another format, or the comparisons are not those of all pairs of the methods.
        StoreError: matplotlib is not installed.
    """
    if path.suffix not in (".png", ".svg"):
        raise BadInput(f"{path}: expected a picture that ends in .png or .svg, got {path.suffix!r}; rename it")
    layout = arrange(ranking, cliques(ranking, comparisons=comparisons))
    bottom = max(leader.y for leader in layout.leaders) + _NAME_GAP
    with new_figure((layout.width, bottom)) as figure:
        axes = figure.add_axes((0, 0, 1, 1))  # a unit of its data is an inch; what lies beyond is kept when saved
        axes.set(xlim=(0, layout.width), ylim=(bottom, 0))
        axes.set_axis_off()
        line = {"color": "black", "clip_on": False, "solid_capstyle": "butt"}
        text = {"fontsize": 9, "parse_math": False}
        top = -0.4
        axes.plot([0, layout.width], [0, 0], linewidth=1, **line)
        every = ceil(0.25 / layout.inches_per_rank)
        for tick in range(layout.first, layout.last + 1):
            named = (tick - layout.first) % every == 0
            at = (tick - layout.first) * layout.inches_per_rank
            axes.plot([at, at], [0, -0.08 if named else -0.04], linewidth=1, **line)
            if named:
                axes.text(at, -0.11, str(tick), ha="center", va="bottom", **text)
        for leader in layout.leaders:
            out = -_STUB if leader.left else layout.width + _STUB
            axes.plot([leader.x, leader.x, out], [0, leader.y, leader.y], linewidth=0.7, **line)
            words = [ranking.methods[leader.method], f"{ranking.mean_ranks[leader.method]:.2f}"]
            words = "  ".join(words if leader.left else reversed(words))
            side = (out - 0.06, "right") if leader.left else (out + 0.06, "left")
            axes.text(side[0], leader.y, words, ha=side[1], va="center", **text)
        for bar in layout.bars:
            axes.plot([bar.start, bar.stop], [bar.y, bar.y], linewidth=3, **line)
        if comparisons is None:
            difference = critical_difference(len(ranking.methods), ranking.data_sets)
            length = difference * layout.inches_per_rank
            heights = [top - 0.04, top + 0.04, top, top, top + 0.04, top - 0.04]
            axes.plot([0, 0, 0, length, length, length], heights, linewidth=1, **line)
            axes.text(length / 2, top - 0.06, f"CD = {difference:.2f}", ha="center", va="bottom", **text)
            top -= 0.3
        if title:
            axes.text(layout.width / 2, top - 0.05, title, ha="center", va="bottom", fontsize=11, parse_math=False)
        figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.1, metadata=undated(path))
