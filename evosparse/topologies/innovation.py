"""Innovation numbers: the same structural change gets the same numbers, within a generation or within the whole run.

All are given out where the search runs, in the order of the children, so that workers can make no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scope = Literal["generation", "run"]


class Innovations:
    """Gives out the numbers of connections and of hidden nodes.

    Args:
        node: the first number of a hidden node.
        scope: how long a change is remembered.
    """

    def __init__(self, node: int, scope: Scope = "generation") -> None:
        self.scope = scope
        self._next_node = node
        self._next_connection = 0
        self._connections: dict[tuple[int, int], int] = {}
        self._splits: dict[tuple[int, int], int] = {}

    def begin_generation(self) -> None:
        """Forget the changes of the generation before, where the scope is a generation."""
        if self.scope == "generation":
            self._connections, self._splits = {}, {}

    def connection(self, source: int, target: int) -> int:
        """Return the innovation number of a new connection."""
        if (source, target) not in self._connections:
            self._connections[source, target] = self._next_connection
            self._next_connection += 1
        return self._connections[source, target]

    def split(self, innovation: int, present: Collection[int]) -> int:
        """Return the number of the new node of a split connection.

        Args:
            innovation: of the connection.
            present: hidden nodes that the genome has already; a connection that was split, enabled and is split again
                gets another node.
        """
        time = 0
        while (node := self._splits.get((innovation, time))) in present and node is not None:
            time += 1
        if node is None:
            node = self._splits[innovation, time] = self._next_node
            self._next_node += 1
        return node

    def state(self) -> NDArray[np.int64]:
        """Return all that is remembered, as rows of four integers."""
        rows = [(0, self._next_node, self._next_connection, 0)]
        rows += [(1, *ends, number) for ends, number in self._connections.items()]
        rows += [(2, *split, node) for split, node in self._splits.items()]
        return np.array(rows, dtype=np.int64)

    def restore(self, rows: Sequence[Sequence[int]]) -> None:
        """Go on from what `state` returned."""
        table = [tuple(int(value) for value in row) for row in rows]
        _, self._next_node, self._next_connection, _ = table[0]
        self._connections = {row[1:3]: row[3] for row in table if row[0] == 1}
        self._splits = {row[1:3]: row[3] for row in table if row[0] == 2}
