"""Many different networks evaluated as one batch of torch tensors, on any device.

Nodes of all networks stand below each other as rows, in the order in which they can be computed; columns are cases. A
node's incoming connections are added one after another, in the order of its genes, so that nothing is padded and a
network computes the same beside any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from evosparse.topologies.functions import FUNCTIONS, NAMES
from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks, Plan

CPU_CELLS = 2**19
"""Values that are computed at once on the CPU: few enough to stay near its caches."""
DEVICE_CELLS = 2**25
"""Values that are computed at once elsewhere."""
ARRAYS = 6
"""Most arrays of so many values that there are at once, temporary ones included."""

_CASES = 256  # of an answer that are shown at once, if there are so many


@dataclass(frozen=True)
class _Step:
    """Nodes that can be computed at once: consecutive rows, those with most incoming connections first.

    Args:
        first, last: their rows.
        edges: for the first, second, ... connection of the nodes: (nodes that have it,) row that it comes from, and
            (nodes that have it, 1) its weight. These nodes are the first ones.
        functions: name of each function, and the places of its nodes among these; None if it is all of them.
    """

    first: int
    last: int
    edges: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    functions: tuple[tuple[str, torch.Tensor | None], ...]


@dataclass(frozen=True)
class _Group:
    """Neighbouring networks that are computed at once. Their rows: the inputs, a 1, then all nodes.

    Args:
        networks: which of the batch.
        rows: how many.
        inputs: how many of them are inputs: one set for all networks, or each network's own.
        steps: in the order of computation; only one for recurrent networks.
        outputs: (networks · outputs,) their rows.
    """

    networks: slice
    rows: int
    inputs: int
    steps: tuple[_Step, ...]
    outputs: torch.Tensor


class TorchNetworks:
    """Networks ready to run on a device; recurrent ones remember what they have seen until they are reset.

    On the CPU, a network computes the same bits in any batch; elsewhere this depends on torch's functions there.
    Beside cases, results and genes, at most `ARRAYS` arrays of `cells` values take memory at once (of as many values
    as the largest network has nodes and inputs, if that is more), and what all networks remember between activations.

    Args:
        networks: the batch, or genomes of one interface to make one of.
        device: where to compute.
        dtype: of all values.
        cells: most values that are computed at once; None for `CPU_CELLS` or `DEVICE_CELLS`.
    """

    def __init__(
        self,
        networks: Networks | Sequence[Topology],
        device: str | torch.device,
        dtype: torch.dtype = torch.float64,
        cells: int | None = None,
    ) -> None:
        batch = networks if isinstance(networks, Networks) else Networks.of(networks)
        self.interface = batch.interface
        self.device = torch.device(device)
        self.dtype = dtype
        self.cells = cells or (CPU_CELLS if self.device.type == "cpu" else DEVICE_CELLS)
        self._plan = batch.plan
        self._level = _levels(batch.plan)
        self._answering: tuple[int, list[_Group]] = (0, [])
        self._activating: list[_Group] | None = None
        self.reset()

    def __len__(self) -> int:
        return len(self._plan.output)

    def reset(self) -> None:
        """Forget all that the networks have seen."""
        self._values: list[torch.Tensor] = []

    @torch.no_grad()
    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        """Show each network an input of its own.

        Args:
            inputs: (networks, inputs), or (inputs,) to show all the same.

        Returns:
            (networks, outputs).

        Raises:
            ValueError: the inputs have another shape.
        """
        shape = (len(self), self._plan.inputs)
        if tuple(inputs.shape) not in (shape, shape[1:]):
            raise ValueError(f"expected inputs of shape {shape} (networks, inputs), got {tuple(inputs.shape)}")
        given = inputs.to(self.device, self.dtype).expand(shape)
        if self._activating is None:
            self._activating = list(self._groups(self.cells, shared=False))
        if not self._values:
            self._values = [self._nothing_seen(group, 1) for group in self._activating]
        outputs = torch.empty((len(self), self._plan.outputs), dtype=self.dtype, device=self.device)
        for group, values in zip(self._activating, self._values, strict=True):
            values[: group.inputs] = given[group.networks].reshape(-1, 1)
            self._update(group, values)
            outputs[group.networks] = values[group.outputs].view(-1, self._plan.outputs)
        return outputs

    @torch.no_grad()
    def answer(self, cases: torch.Tensor) -> torch.Tensor:
        """Show all networks the same cases, each as if it were the first thing that they see.

        A recurrent network is shown a case for as many sweeps as the interface says.

        Args:
            cases: (cases, inputs).

        Returns:
            (networks, cases, outputs).

        Raises:
            ValueError: the cases have another shape.
        """
        if cases.ndim != 2 or cases.shape[1] != self._plan.inputs:
            raise ValueError(f"expected cases of shape (cases, {self._plan.inputs}), got {tuple(cases.shape)}")
        given = cases.to(self.device, self.dtype)
        wide = min(_CASES, max(len(given), 1))
        if self._answering[0] != wide:
            self._answering = wide, list(self._groups(self.cells // wide, shared=True))
        outputs = torch.empty((len(self), len(given), self._plan.outputs), dtype=self.dtype, device=self.device)
        for group in self._answering[1]:
            count = max(self.cells // group.rows, 1)
            for start in range(0, len(given), count):
                shown = slice(start, min(start + count, len(given)))
                values = self._nothing_seen(group, shown.stop - start)
                values[: group.inputs] = given[shown].T
                self._update(group, values)
                found = values[group.outputs].view(-1, self._plan.outputs, shown.stop - start)
                outputs[group.networks, shown] = found.transpose(1, 2)
        return outputs

    def _nothing_seen(self, group: _Group, cases: int) -> torch.Tensor:
        """Return (rows, cases) values of networks that have seen nothing."""
        values = torch.zeros((group.rows, cases), dtype=self.dtype, device=self.device)
        values[group.inputs] = 1
        return values

    def _update(self, group: _Group, values: torch.Tensor) -> None:
        """Let (rows, cases) values follow from the inputs among them."""
        for _ in range(max(self._plan.sweeps, 1)):
            for step in group.steps:
                # In recurrent networks all sums are made before any node changes: theirs is one step.
                totals = values.new_zeros((step.last - step.first, values.shape[1]))
                for source, weight in step.edges:
                    totals[: len(source)] += values.index_select(0, source).mul_(weight)
                own = values[step.first : step.last]
                for name, places in step.functions:
                    if places is None:
                        own.copy_(FUNCTIONS[name].torch(totals))
                    else:
                        own.index_copy_(0, places, FUNCTIONS[name].torch(totals.index_select(0, places)))

    def _groups(self, rows: int, shared: bool) -> Iterator[_Group]:
        """Divide the batch into groups of at most so many rows; a network that has more is a group of its own."""
        start = self._plan.node_start
        common, each = (self._plan.inputs + 1, 0) if shared else (1, self._plan.inputs)
        end = start[1:] + each * np.arange(1, len(self) + 1)  # rows of all networks up to each one
        first = 0
        while first < len(self):
            before = end[first - 1] if first else 0
            last = max(int(np.searchsorted(end, before + rows - common, side="right")), first + 1)
            yield self._group(first, last, shared)
            first = last

    def _group(self, first: int, last: int, shared: bool) -> _Group:
        plan = self._plan
        nodes = np.arange(plan.node_start[first], plan.node_start[last])
        network = np.repeat(np.arange(last - first), np.diff(plan.node_start[first : last + 1]))
        inputs = plan.inputs * (1 if shared else last - first)
        degree = np.diff(plan.edge_start)[nodes]
        order = np.lexsort((-degree, self._level[nodes]))
        row = np.empty(len(nodes), dtype=np.int64)
        row[order] = inputs + 1 + np.arange(len(nodes))

        def rows(slot: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[np.int64]:
            """Return where the slots of networks are."""
            computed = plan.node_start[first + of] - nodes[0] + slot - plan.inputs - 1
            given = slot if shared else np.where(slot < plan.inputs, of * plan.inputs + slot, inputs)
            return np.where(slot > plan.inputs, row[np.maximum(computed, 0)], given)

        edges = slice(plan.edge_start[nodes[0]], plan.edge_start[nodes[-1] + 1])
        source = rows(plan.source[edges], np.repeat(network, degree))
        steps = []
        ends = np.flatnonzero(np.diff(self._level[nodes[order]], append=-1)) + 1
        for begin, end in zip((0, *ends[:-1]), ends, strict=True):
            chosen = order[begin:end]
            where = plan.edge_start[nodes[chosen]] - edges.start
            steps.append(
                _Step(
                    inputs + 1 + int(begin),
                    inputs + 1 + int(end),
                    tuple(self._edges(where, degree[chosen], source, plan.weight[edges])),
                    tuple(self._functions(plan.function[nodes[chosen]])),
                )
            )
        outputs = rows(plan.output[first:last].ravel(), np.repeat(np.arange(last - first), plan.outputs))
        return _Group(slice(first, last), inputs + 1 + len(nodes), inputs, tuple(steps), self._indices(outputs))

    def _edges(
        self,
        start: NDArray[np.int64],
        degree: NDArray[np.int64],
        source: NDArray[np.int64],
        weight: NDArray[np.float64],
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the first, second, ... connections of nodes of falling degree, given where they start."""
        for place in range(degree.max(initial=0)):
            which = start[: np.count_nonzero(degree > place)] + place
            yield (
                self._indices(source[which]),
                torch.as_tensor(weight[which, None], dtype=self.dtype, device=self.device),
            )

    def _functions(self, codes: NDArray[np.int64]) -> Iterator[tuple[str, torch.Tensor | None]]:
        distinct = np.unique(codes)
        for code in distinct:
            yield NAMES[code], None if len(distinct) == 1 else self._indices(np.flatnonzero(codes == code))

    def _indices(self, numbers: NDArray[np.int64]) -> torch.Tensor:
        return torch.as_tensor(numbers, device=self.device)


@njit(cache=True, nogil=True)
def _levels(plan: Plan) -> NDArray[np.int64]:
    """Return for each node the number of the step in which it can be computed; all 0 for recurrent networks."""
    level = np.zeros(len(plan.function), dtype=np.int64)
    if plan.sweeps > 0:
        return level
    for network in range(len(plan.output)):
        # Slots of computed nodes are numbered from behind the inputs and the 1.
        shift = plan.node_start[network] - plan.inputs - 1
        for node in range(plan.node_start[network], plan.node_start[network + 1]):
            for edge in range(plan.edge_start[node], plan.edge_start[node + 1]):
                if plan.source[edge] > plan.inputs:
                    level[node] = max(level[node], level[shift + plan.source[edge]] + 1)
    return level
