"""Where the nodes and connections of a network stand in a drawing, in columns from the inputs to the outputs.

The columns are the longest paths from the inputs (Sugiyama's layers). A connection that passes a column has a place of
its own in it, as if it were a node, so that no line runs through a node or has to be guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evosparse.topologies.genome import Topology

_ROUNDS = 12  # of bringing neighbours together; few networks change after four
_LINE = 0.24  # of a row: what a connection takes of a column that it passes


@dataclass(frozen=True)
class Connection:
    """A connection as it is drawn.

    Args:
        source, target: the nodes.
        weight: its weight.
        enabled: whether it is expressed.
        backward: whether it goes to its own column or to one further left.
        bends: heights at which it passes columns, from its source on; a backward one also passes those of its ends.
    """

    source: int
    target: int
    weight: float
    enabled: bool
    backward: bool
    bends: tuple[float, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A drawing of a network without its ink.

    Args:
        layers: nodes of each column from top to bottom; inputs (and bias) first, outputs last.
        places: column of each node, and the height of its middle in rows, downwards.
        connections: in the order of their genes.
    """

    layers: tuple[tuple[int, ...], ...]
    places: Mapping[int, tuple[int, float]]
    connections: tuple[Connection, ...]


def needed(topology: Topology) -> frozenset[int]:
    """Return the nodes on which the outputs depend: the outputs themselves, hidden nodes and sources."""
    sources: dict[int, list[int]] = {}
    genes = topology.source[topology.enabled], topology.target[topology.enabled]
    for source, target in zip(*(values.tolist() for values in genes), strict=True):
        sources.setdefault(target, []).append(source)
    found, fresh = set(), list(topology.interface.output_nodes)
    while fresh:
        node = fresh.pop()
        if node not in found:
            found.add(node)
            fresh += sources.get(node, ())
    return frozenset(found)


def _one_row(ends: int, connections: int) -> float:
    """Return 1: nodes of equal height."""
    return 1.0


def arrange(topology: Topology, everything: bool = False, rows: Callable[[int, int], float] = _one_row) -> Layout:
    """Find a place for each node and each connection.

    Inputs and outputs keep their order, which a reader knows; hidden nodes are ordered so that few connections cross.

    Args:
        topology: the network.
        everything: whether to show disabled connections, and nodes that the outputs do not need, too.
        rows: what a node takes of a column, by the number of connections at its busier side and that of all.
    """
    face = topology.interface
    fixed = set(range(face.fixed))
    shown = fixed | set(topology.hidden.tolist()) if everything else needed(topology)
    hidden = sorted(shown - fixed)
    genes = [topology.source, topology.target, topology.weight, topology.enabled]
    links = [
        Connection(source, target, weight, enabled, backward=False)
        for source, target, weight, enabled in zip(*(values.tolist() for values in genes), strict=True)
        if source in shown and target in shown and (enabled or everything)
    ]
    column = _columns(face.sources, face.fixed, hidden, [(link.source, link.target) for link in links if link.enabled])
    column |= {node: 0 for node in range(face.sources) if node in shown}
    last = max((column[node] for node in hidden), default=0) + 1
    column |= {node: last for node in face.output_nodes}
    ends = [Counter(link.source for link in links), Counter(link.target for link in links)]
    room = {node: rows(max(side[node] for side in ends), len(links)) for node in shown}
    grid = _Grid(last + 1, {node: column[node] for node in sorted(shown)}, room)
    paths = [grid.lead(link.source, link.target) for link in links]
    grid.reorder()
    heights = grid.heights()
    drawn = tuple(
        Connection(
            link.source, link.target, link.weight, link.enabled,
            column[link.source] >= column[link.target], tuple(heights[item] for item in path),
        )
        for link, path in zip(links, paths, strict=True)
    )  # fmt: skip
    layers = tuple(tuple(item for item in items if item >= 0) for items in grid.items)
    return Layout(layers, {node: (column[node], heights[node]) for node in sorted(shown)}, drawn)


def _columns(sources: int, fixed: int, hidden: Sequence[int], pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return the column of each hidden node: one more than that of all before it in an order with few steps back."""
    inner = [pair for pair in pairs if min(pair) >= fixed and pair[0] != pair[1]]
    distance = _distances(sources, [pair for pair in pairs if not sources <= pair[0] < fixed])
    order = _with_few_steps_back(sorted(hidden, key=lambda node: (distance.get(node, len(hidden)), node)), inner)
    rank = {node: place for place, node in enumerate(order)}
    before: dict[int, list[int]] = {node: [] for node in hidden}
    for source, target in inner:
        if rank[source] < rank[target]:
            before[target].append(source)
    column: dict[int, int] = {}
    for node in order:
        column[node] = 1 + max((column[source] for source in before[node]), default=0)
    return column


def _distances(sources: int, pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return the number of connections from the inputs to each node that they reach, by the shortest way."""
    found, edge = {node: 0 for node in range(sources)}, set(range(sources))
    while edge:
        edge = {target for source, target in pairs if source in edge and target not in found}
        found |= dict.fromkeys(edge, max(found.values()) + 1)
    return found


def _with_few_steps_back(nodes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Order nodes so that no pair goes backward if there are no loops, and few do if there are.

    It is the heuristic of Eades, Lin and Smyth (1993). Of equals the earlier in `nodes` comes first.
    """
    front: list[int] = []
    back: list[int] = []
    left = list(nodes)
    while left:
        gives, takes = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
        for source, target in pairs:
            if source in gives and target in gives:
                gives[source] += 1
                takes[target] += 1
        sink = next((node for node in left if not gives[node]), None)
        chosen = max(left, key=lambda node: (not takes[node], gives[node] - takes[node])) if sink is None else sink
        (front if sink is None else back).append(chosen)
        left.remove(chosen)
    return front + back[::-1]


class _Grid:
    """Columns of items: nodes, and bends (negative numbers) of connections that pass a column.

    Args:
        columns: number of them.
        column: of each node.
        room: rows that each node takes.
    """

    def __init__(self, columns: int, column: Mapping[int, int], room: Mapping[int, float]) -> None:
        self.column = dict(column)
        self.room = room
        self.items: list[list[int]] = [[node for node in column if column[node] == place] for place in range(columns)]
        self.beside: dict[int, list[int]] = {node: [] for node in column}  # what each item is joined with
        self.glued: dict[int, int] = {}  # bends that stand right below a node, where a backward connection turns

    def lead(self, source: int, target: int) -> list[int]:
        """Make the bends of a connection, and return them in the direction that it goes."""
        start, stop = self.column[source], self.column[target]
        backward = start >= stop
        bends = []
        for place in range(start, stop - 1, -1) if backward else range(start + 1, stop):
            bend = len(self.room) - len(self.column) - 1
            self.column[bend] = place
            self.beside[bend] = []
            bends.append(bend)
        if backward:
            self._glue(bends[0], source)
            if len(bends) > 1:
                self._glue(bends[-1], target)
        for bend in bends:
            if bend not in self.glued:
                self.items[self.column[bend]].append(bend)
        chain = bends if backward else [source, *bends, target]
        for one, other in zip(chain[:-1], chain[1:], strict=True):
            self.beside[one].append(other)
            self.beside[other].append(one)
        return bends

    def _glue(self, bend: int, node: int) -> None:
        self.glued[bend] = node
        items = self.items[self.column[bend]]
        items.insert(items.index(node) + 1, bend)

    def reorder(self) -> None:
        """Sort columns by the mean place of what items are joined with, and keep the order with fewest crossings."""
        best, fewest = [list(items) for items in self.items], self._crossings()
        for turn in range(_ROUNDS):
            to_the_right = turn % 2 == 0
            places = range(len(self.items))
            for place in places if to_the_right else reversed(places):
                self._sort(place, place - 1 if to_the_right else place + 1)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(items) for items in self.items], crossings
        self.items = best

    def _sort(self, place: int, neighbour: int) -> None:
        share = {item: row / len(items) for items in self.items for row, item in enumerate(items)}

        def wish(item: int) -> float:
            others = [share[other] for other in self.beside[item] if self.column[other] == neighbour]
            return sum(others) / len(others) if others else share[item]

        wishes = {item: wish(item) for item in self.items[place]}
        if place in (0, len(self.items) - 1):
            # What is known by its order keeps it; only bends move between.
            nodes = [item for item in self.items[place] if item >= 0]
            wishes |= dict(zip(nodes, sorted(wishes[node] for node in nodes), strict=True))
        rows = {item: row for row, item in enumerate(self.items[place])}

        def key(item: int) -> tuple[float, int, bool, int]:
            owner = self.glued.get(item, item)
            return wishes[owner], rows[owner], item != owner, rows[item]

        self.items[place].sort(key=key)

    def _crossings(self) -> int:
        row = {item: place for items in self.items for place, item in enumerate(items)}
        count = 0
        for place in range(len(self.items) - 1):
            ends = [
                (row[item], row[other])
                for item in self.items[place]
                for other in self.beside[item]
                if self.column[other] == place + 1
            ]
            left, right = np.array(ends, dtype=np.int64).reshape(-1, 2).T
            # One of two crossing lines starts above and ends below the other.
            count += int(((left[:, None] < left) & (right[:, None] > right)).sum())
        return count

    def heights(self) -> dict[int, float]:
        """Return the height of each item: as near to what it is joined with as its neighbours in the column let it."""
        spaces = [[self._gap(*pair) for pair in zip(items[:-1], items[1:], strict=True)] for items in self.items]
        height: dict[int, float] = {}
        for items, gaps in zip(self.items, spaces, strict=True):
            stack = np.cumsum([0.0, *gaps])[: len(items)]
            height |= dict(zip(items, (stack - stack.sum() / max(len(items), 1)).tolist(), strict=True))
        for _ in range(_ROUNDS):
            for items, gaps in zip(self.items, spaces, strict=True):
                wishes = [self._wish(item, height) for item in items]
                height |= dict(zip(items, _spread(wishes, gaps), strict=True))
        return height

    def _wish(self, item: int, height: Mapping[int, float]) -> float:
        others = [height[other] for other in self.beside[item]]
        if item in self.glued:
            others = [height[self.glued[item]] + self._gap(self.glued[item], item)]
        return sum(others) / len(others) if others else height[item]

    def _gap(self, one: int, other: int) -> float:
        return (self.room.get(one, _LINE) + self.room.get(other, _LINE)) / 2


def _spread(wishes: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Return the heights nearest to those wished for (least squares) that keep order and gaps."""
    shift = np.cumsum([0.0, *gaps])
    blocks: list[list[float]] = []  # sum and number of wishes that must share one height, without the gaps
    for wish, gap in zip(wishes, shift, strict=False):
        blocks.append([wish - gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    levels = [total / count for total, count in blocks for _ in range(int(count))]
    return [float(level + gap) for level, gap in zip(levels, shift, strict=False)]
