"""The genomes of a population laid end to end, the form in which compiled loops read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosparse.topologies.genome import Topology


class Pack(NamedTuple):
    """Genomes end to end.

    Args:
        genes: (genomes + 1,) where a genome's connections begin.
        nodes: (genomes + 1,) where its hidden nodes begin; its functions begin there plus its place times the outputs.
        innovation, source, target, weight, enabled: (all connections,), see `Topology`.
        hidden: (all hidden nodes,).
        functions: (all hidden nodes and outputs,).
    """

    genes: NDArray[np.int64]
    nodes: NDArray[np.int64]
    innovation: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    enabled: NDArray[np.bool_]
    hidden: NDArray[np.int64]
    functions: NDArray[np.int64]


def pack(topologies: Sequence[Topology]) -> Pack:
    """Lay genomes, at least one, end to end."""
    genes = np.cumsum([0, *(len(topology.weight) for topology in topologies)])
    nodes = np.cumsum([0, *(len(topology.hidden) for topology in topologies)])
    return Pack(
        genes, nodes, *(np.concatenate([getattr(topology, name) for topology in topologies]) for name in Pack._fields[2:])
    )
