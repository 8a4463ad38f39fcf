"""Mutations of the structure: connections and nodes are added, toggled or deleted. All return a new value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evosparse.topologies.breeding import Distribution, draw_weights, leads
from evosparse.topologies.genome import Topology
from evosparse.topologies.innovation import Innovations

Split = Literal["any", "oldest"]
_TRIES = 20  # draws of a pair of nodes until one is not connected
_FEW = 15  # genes below which the oldest connections are split first
_ACCEPTED = 0.7  # probability that each of them is, if none before it was


@dataclass(frozen=True)
class Growth:
    """How structures are mutated.

    Args:
        power: half the range of new connections' weights, or their standard deviation.
        distribution: of them.
        codes: of the functions that hidden nodes may have.
        split: which connections get nodes, see `add_node`.
    """

    power: float
    distribution: Distribution
    codes: NDArray[np.int64]
    split: Split = "any"


def mutate(
    topology: Topology, kinds: NDArray[np.bool_], growth: Growth, innovations: Innovations, rng: np.random.Generator
) -> Topology:
    """Mutate the structure of a genome.

    Args:
        topology: a genome.
        kinds: (6,) whether, in this order, a node is added, a connection is added, one is toggled, a node is deleted, a
            connection is deleted, a function is changed.
        growth: how.
        innovations: gives the numbers.
        rng: source of randomness.
    """
    node, connection, turned, without_node, without_connection, function = kinds
    if node:
        code = int(growth.codes[rng.integers(len(growth.codes))])
        topology = add_node(topology, code, innovations, rng, growth.split)
    if connection:
        weight = draw_weights(1, growth.power, growth.distribution, rng)[0]
        topology = add_connection(topology, float(weight), innovations, rng)
    if turned:
        topology = toggle(topology, rng)
    if without_node:
        topology = delete_node(topology, rng)
    if without_connection:
        topology = delete_connection(topology, rng)
    return change_function(topology, growth.codes, rng) if function else topology


def add_connection(
    topology: Topology, weight: float, innovations: Innovations, rng: np.random.Generator
) -> Topology:
    """Connect two nodes that are not; the same value where none are found in 20 tries.

    Args:
        topology: a genome; a feed-forward one stays so.
        weight: of the new connection.
        innovations: gives its number.
        rng: draws the nodes, each ordered pair with the same probability.
    """
    face = topology.interface
    nodes = np.concatenate([np.arange(face.fixed), topology.hidden])
    sources = rng.integers(len(nodes), size=_TRIES)
    targets = rng.integers(face.sources, len(nodes), size=_TRIES)
    present = set(zip(topology.source.tolist(), topology.target.tolist()))
    for source, target in zip(nodes[sources].tolist(), nodes[targets].tolist()):
        if (source, target) in present:
            continue
        if not face.recurrent and leads(topology.source, topology.target, target, source):
            continue
        return _with(topology, [(innovations.connection(source, target), source, target, weight)])
    return topology


def add_node(
    topology: Topology, function: int, innovations: Innovations, rng: np.random.Generator, split: Split = "any"
) -> Topology:
    """Put a node into an enabled connection: into it with weight 1, out of it with the old weight.

    Connections from the bias are left alone: a node behind one would only say a constant in another way. Where small
    genomes split their oldest connections first, as in the authors' own program, they do not grow chains of nodes.

    Args:
        topology: a genome; it is returned as it is where there is no such connection.
        function: code of the new node's function.
        innovations: gives the numbers.
        rng: draws the connection.
        split: ``any`` with the same probability; ``oldest``: in genomes of fewer than 15 genes each in turn, from the
            oldest, with probability .7 (none if none of them is taken).
    """
    face = topology.interface
    bias = face.sources - 1 if face.bias else -1
    enabled = np.flatnonzero(topology.enabled & (topology.source != bias))
    if not len(enabled):
        return topology
    oldest = split == "oldest" and len(topology.innovation) < _FEW
    chosen = rng.geometric(_ACCEPTED) - 1 if oldest else rng.integers(len(enabled))
    if chosen >= len(enabled):
        return topology
    gene = enabled[chosen]
    source, target, weight = int(topology.source[gene]), int(topology.target[gene]), float(topology.weight[gene])
    node = innovations.split(int(topology.innovation[gene]), topology.hidden.tolist())
    place = int(np.searchsorted(topology.hidden, node))
    without = topology.enabled.copy()
    without[gene] = False
    grown = replace(
        topology,
        hidden=np.insert(topology.hidden, place, node),
        functions=np.insert(topology.functions, len(face.outputs) + place, function),
        enabled=without,
    )
    return _with(
        grown,
        [(innovations.connection(source, node), source, node, 1.0), (innovations.connection(node, target), node, target, weight)],
    )


def toggle(topology: Topology, rng: np.random.Generator) -> Topology:
    """Disable a connection that is enabled, or the other way round."""
    if not len(topology.enabled):
        return topology
    flags = topology.enabled.copy()
    flags[rng.integers(len(flags))] ^= True
    return replace(topology, enabled=flags)


def delete_connection(topology: Topology, rng: np.random.Generator) -> Topology:
    """Remove a connection, and hidden nodes that nothing is connected to any more; the last one is kept."""
    if len(topology.weight) < 2:
        return topology
    kept = np.ones(len(topology.weight), dtype=bool)
    kept[rng.integers(len(kept))] = False
    return _only(topology, kept)


def delete_node(topology: Topology, rng: np.random.Generator) -> Topology:
    """Remove a hidden node with all its connections; a genome without hidden nodes, or connections beside, is kept."""
    if not len(topology.hidden):
        return topology
    node = topology.hidden[rng.integers(len(topology.hidden))]
    kept = (topology.source != node) & (topology.target != node)
    return _only(topology, kept) if kept.any() else topology


def change_function(topology: Topology, codes: NDArray[np.int64], rng: np.random.Generator) -> Topology:
    """Give a hidden node another function.

    Args:
        topology: a genome; one without hidden nodes is kept.
        codes: of the functions to draw from.
        rng: draws the node and its function.
    """
    if not len(topology.hidden):
        return topology
    functions = topology.functions.copy()
    functions[len(topology.interface.outputs) + rng.integers(len(topology.hidden))] = codes[rng.integers(len(codes))]
    return replace(topology, functions=functions)


def _with(topology: Topology, genes: list[tuple[int, int, int, float]]) -> Topology:
    """Return a genome with further genes of innovation number, source, target and weight, in the order of the numbers."""
    innovation, source, target, weight = (np.array(column) for column in zip(*genes))
    numbers = np.concatenate([topology.innovation, innovation])
    order = np.argsort(numbers)
    return replace(
        topology,
        innovation=numbers[order],
        source=np.concatenate([topology.source, source])[order],
        target=np.concatenate([topology.target, target])[order],
        weight=np.concatenate([topology.weight, weight])[order],
        enabled=np.concatenate([topology.enabled, np.ones(len(genes), dtype=bool)])[order],
    )


def _only(topology: Topology, kept: NDArray[np.bool_]) -> Topology:
    """Return a genome with some of its connections, and the hidden nodes that they join."""
    genes = {name: getattr(topology, name)[kept] for name in ("innovation", "source", "target", "weight", "enabled")}
    joined = np.isin(topology.hidden, np.concatenate([genes["source"], genes["target"]]))
    functions = np.concatenate([np.ones(len(topology.interface.outputs), dtype=bool), joined])
    return replace(topology, hidden=topology.hidden[joined], functions=topology.functions[functions], **genes)
