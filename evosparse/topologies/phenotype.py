"""Many different networks evaluated as one batch: their expressed parts laid end to end, walked by compiled loops.

What one network computes never depends on the networks beside it. A network is reduced to what its outputs need; a
node that nothing goes into has the value of its function at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from evosparse.topologies.functions import apply
from evosparse.topologies.genome import Interface, Topology


class Plan(NamedTuple):
    """The networks of a batch for compiled loops.

    A network's values stand in slots: its inputs, then 1 (the bias), then the nodes that it computes.

    Args:
        inputs, outputs: how many.
        sweeps: updates for each input; 0 for feed-forward networks, whose nodes are in an order that needs but one pass.
        widest: most slots of any network.
        node_start: (networks + 1,) where a network's nodes begin among all.
        function: (nodes,) code of each node's function.
        edge_start: (nodes + 1,) where a node's incoming connections begin among all.
        source: (connections,) slot that a connection comes from.
        weight: (connections,) its weight.
        output: (networks, outputs) slot of each output.
    """

    inputs: int
    outputs: int
    sweeps: int
    widest: int
    node_start: NDArray[np.int64]
    function: NDArray[np.int64]
    edge_start: NDArray[np.int64]
    source: NDArray[np.int64]
    weight: NDArray[np.float64]
    output: NDArray[np.int64]


@njit(cache=True)
def activate(
    plan: Plan, network: int, work: NDArray[np.float64], inputs: NDArray[np.float64], outputs: NDArray[np.float64]
) -> None:
    """Show a network an input, and let it change its values: what compiled tasks call at each step.

    Args:
        plan: the batch.
        network: which of it.
        work: (2, at least widest) values of the network and space beside them; zeros make a network that has seen nothing.
        inputs: (inputs,) read.
        outputs: (outputs,) written.
    """
    values, first, last = work[0], plan.node_start[network], plan.node_start[network + 1]
    for place in range(plan.inputs):
        values[place] = inputs[place]
    values[plan.inputs] = 1.0
    own = plan.inputs + 1
    if plan.sweeps == 0:
        for node in range(first, last):
            total = 0.0
            for edge in range(plan.edge_start[node], plan.edge_start[node + 1]):
                total += plan.weight[edge] * values[plan.source[edge]]
            values[own + node - first] = apply(plan.function[node], total)
    for _ in range(plan.sweeps):
        # All from the values before: the order of the nodes makes no difference.
        for node in range(first, last):
            total = 0.0
            for edge in range(plan.edge_start[node], plan.edge_start[node + 1]):
                total += plan.weight[edge] * values[plan.source[edge]]
            work[1, node - first] = apply(plan.function[node], total)
        for node in range(last - first):
            values[own + node] = work[1, node]
    for place in range(plan.outputs):
        outputs[place] = values[plan.output[network, place]]


class Networks:
    """Networks ready to run; recurrent ones remember what they have seen until they are reset.

    Args:
        interface: of all of them.
        plan: the batch.

    Attributes:
        plan: for a task's own compiled loops.
    """

    def __init__(self, interface: Interface, plan: Plan) -> None:
        self.interface = interface
        self.plan = plan
        self.reset()

    @classmethod
    def of(cls, topologies: Sequence[Topology]) -> Networks:
        """Express genomes.

        Args:
            topologies: at least one; all of one interface.
        """
        face = topologies[0].interface
        if any(topology.interface is not face and topology.interface != face for topology in topologies):
            raise ValueError("expected networks of one interface in a batch")
        return cls(face, plan_of(topologies))

    def __len__(self) -> int:
        return len(self.plan.output)

    def reset(self) -> None:
        """Forget all that the networks have seen."""
        self._work = np.zeros((len(self), 2, self.plan.widest))

    def activate(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Show each network an input of its own.

        Args:
            inputs: (networks, inputs), or (inputs,) to show all the same.

        Returns:
            (networks, outputs).

        Raises:
            ValueError: the inputs have another shape.
        """
        shape = (len(self), self.plan.inputs)
        given = np.asarray(inputs, dtype=np.float64)
        if given.shape not in (shape, shape[1:]):
            raise ValueError(f"expected inputs of shape {shape} (networks, inputs), got {given.shape}")
        outputs = np.empty((len(self), self.plan.outputs))
        _activate_all(self.plan, self._work, np.ascontiguousarray(np.broadcast_to(given, shape)), outputs)
        return outputs

    def answer(self, cases: ArrayLike) -> NDArray[np.float64]:
        """Show all networks the same cases, each as if it were the first thing that they see.

        A recurrent network is shown a case for as many sweeps as the interface says.

        Args:
            cases: (cases, inputs).

        Returns:
            (networks, cases, outputs).
        """
        given = np.ascontiguousarray(cases, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != self.plan.inputs:
            raise ValueError(f"expected cases of shape (cases, {self.plan.inputs}), got {given.shape}")
        outputs = np.empty((len(self), len(given), self.plan.outputs))
        _answer_all(self.plan, given, outputs)
        return outputs


@njit(cache=True, nogil=True)
def _activate_all(plan, work, inputs, outputs):
    for network in range(len(plan.output)):
        activate(plan, network, work[network], inputs[network], outputs[network])


@njit(cache=True, nogil=True)
def _answer_all(plan, cases, outputs):
    work = np.zeros((2, plan.widest))
    for network in range(len(plan.output)):
        for case in range(len(cases)):
            if plan.sweeps > 0:
                work[:] = 0.0
            activate(plan, network, work, cases[case], outputs[network, case])


def plan_of(topologies: Sequence[Topology]) -> Plan:
    """Lay the expressed parts of genomes of one interface end to end."""
    face = topologies[0].interface
    nodes = np.cumsum([0, *(len(topology.hidden) for topology in topologies)])
    genes = np.cumsum([0, *(len(topology.weight) for topology in topologies)])
    joined = [
        np.concatenate([getattr(topology, name) for topology in topologies])
        for name in ("hidden", "functions", "source", "target", "weight", "enabled")
    ]
    sizes = (len(face.inputs), face.sources, face.fixed)
    parts = _express(sizes, face.recurrent, nodes, genes, *joined)
    sweeps = face.sweeps if face.recurrent else 0
    widest = len(face.inputs) + 1 + int(np.diff(parts[0]).max())
    return Plan(len(face.inputs), len(face.outputs), sweeps, widest, *parts)


@njit(cache=True, nogil=True)
def _express(sizes, recurrent, nodes, genes, hidden, functions, source, target, weight, enabled):
    inputs, sources, fixed = sizes
    outputs, networks = fixed - sources, len(nodes) - 1
    node_start = np.zeros(networks + 1, dtype=np.int64)
    function = np.empty(len(functions), dtype=np.int64)
    edge_start = np.zeros(len(functions) + 1, dtype=np.int64)
    edge_source = np.empty(len(source), dtype=np.int64)
    edge_weight = np.empty(len(source))
    output = np.empty((networks, outputs), dtype=np.int64)
    node, edge = 0, 0
    for network in range(networks):
        own = hidden[nodes[network] : nodes[network + 1]]
        span = slice(genes[network], genes[network + 1])
        # Genes by the places of their nodes: fixed ones by their numbers, hidden ones behind.
        ends = np.empty((2, genes[network + 1] - genes[network]), dtype=np.int64)
        for gene, (one, other) in enumerate(zip(source[span], target[span])):
            ends[0, gene] = one if one < fixed else fixed + np.searchsorted(own, one)
            ends[1, gene] = other if other < fixed else fixed + np.searchsorted(own, other)
        expressed = enabled[span]
        order = _order(sources, fixed, len(own), recurrent, ends, expressed)
        slot = np.full(fixed + len(own), -1, dtype=np.int64)
        slot[:inputs] = np.arange(inputs)
        slot[inputs:sources] = inputs
        for place in range(len(order)):
            slot[order[place]] = inputs + 1 + place
        shift = nodes[network] + network * outputs - sources  # of outputs; hidden nodes stand behind them
        for place in order:
            function[node] = functions[shift + place]
            edge_start[node] = edge
            for gene in range(ends.shape[1]):
                if expressed[gene] and ends[1, gene] == place:
                    edge_source[edge] = slot[ends[0, gene]]
                    edge_weight[edge] = weight[genes[network] + gene]
                    edge += 1
            node += 1
        node_start[network + 1] = node
        for place in range(outputs):
            output[network, place] = slot[sources + place]
    edge_start[node] = edge
    return node_start, function[:node], edge_start[: node + 1], edge_source[:edge], edge_weight[:edge], output


@njit(cache=True, nogil=True)
def _order(sources, fixed, hidden, recurrent, ends, expressed):
    """Return the places of the nodes that the outputs need, each behind all that goes into it unless there are loops."""
    count = fixed + hidden
    needed = np.zeros(count, dtype=np.bool_)
    needed[sources:fixed] = True
    level = np.zeros(count, dtype=np.int64)
    changed = True
    while changed:
        changed = False
        for gene in range(ends.shape[1]):
            if expressed[gene] and needed[ends[1, gene]] and not needed[ends[0, gene]]:
                needed[ends[0, gene]] = changed = True
    needed[:sources] = False
    changed = not recurrent
    rounds = 0
    while changed:
        changed = False
        rounds += 1
        if rounds > count + 1:
            raise ValueError("expected a feed-forward network, got a loop")
        for gene in range(ends.shape[1]):
            if expressed[gene] and level[ends[1, gene]] < level[ends[0, gene]] + 1:
                level[ends[1, gene]] = level[ends[0, gene]] + 1
                changed = True
    places = np.flatnonzero(needed)
    return places[np.argsort(level[places], kind="mergesort")]
