"""The connections of one layer in a whole population as one compressed sparse matrix, in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from evosparse.nets.geometry import Geometry
from evosparse.nets.kernel import padded


class Pattern:
    """Which weights of a layer exist in each network; their values stand elsewhere, in one array in this order.

    Row by row within a network, network after network; each network's slice is padded (see `kernel.LANES`). All
    indices are 32-bit and count within one network, so that their number is limited by nothing but a layer's size.

    Args:
        geometry: of the layer.
        connections: for each network, the sorted flat indices of the weights that exist; None for all.

    Attributes:
        connections: as given.
        offsets: (population + 1,) int64 place at which each network's values start.
        row_starts: (population, rows + 1) int32 place of each row within its network.
        sources: (size,) int32 input position that each connection reads (see `Geometry`).
    """

    def __init__(self, geometry: Geometry, connections: Sequence[np.ndarray | None]) -> None:
        self.geometry = geometry
        self.connections = list(connections)
        population, rows = len(connections), geometry.rows
        self.offsets = np.zeros(population + 1, np.int64)
        np.cumsum([padded(self.count(number)) for number in range(population)], out=self.offsets[1:])
        self.row_starts = np.zeros((population, rows + 1), np.int32)
        self.sources = np.zeros(self.size, np.int32)
        for number in range(population):
            row, column = geometry.matrix(self.indices(number))
            np.cumsum(np.bincount(row, minlength=rows), out=self.row_starts[number, 1:])
            self.sources[self.span(number)] = geometry.sources[column]

    @property
    def size(self) -> int:
        """Length of the array of values, with the padding of each network."""
        return int(self.offsets[-1])

    def count(self, number: int) -> int:
        """Return how many connections a network has."""
        own = self.connections[number]
        return self.geometry.rows * self.geometry.group_columns if own is None else len(own)

    def span(self, number: int) -> slice:
        """Return where a network's values stand."""
        start = int(self.offsets[number])
        return slice(start, start + self.count(number))

    def indices(self, number: int) -> np.ndarray:
        """Return the sorted flat indices of a network's connections."""
        own = self.connections[number]
        return np.arange(self.count(number)) if own is None else own

    @cached_property
    def by_column(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The other order, made when it is first needed: a layer that nothing flows back through goes without.

        Returns:
            (population, columns + 1) int32 place of each column within its network, (size,) int32 row of each
            connection, and (size,) int32 place of its value within its network.
        """
        starts = np.zeros((len(self.connections), self.geometry.columns + 1), np.int32)
        rows = np.zeros(self.size, np.int32)
        places = np.zeros(self.size, np.int32)
        for number in range(len(self.connections)):
            row, column = self.geometry.matrix(self.indices(number))
            order = np.argsort(column, kind="stable")
            np.cumsum(np.bincount(column, minlength=self.geometry.columns), out=starts[number, 1:])
            rows[self.span(number)] = row[order]
            places[self.span(number)] = order
        return starts, rows, places
