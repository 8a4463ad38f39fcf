"""How values and moments find their places when the connections of a population change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from evosparse.nets.architectures import Connections, Network
from evosparse.nets.stack import PackedStack, Stack

Grown = Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]
"""For each network and layer, the flat indices of connections that begin anew, and their (connections,) values."""

AnyStack = Stack | PackedStack


class Move:
    """From the stacks of one kernel to those of another, whose connections may be others.

    Args:
        network: the architecture.
        before: the stacks until now.
        connections: for each network, the weights that exist from now on.
        grown: those of them that begin anew; all others exist already.
    """

    def __init__(
        self,
        network: Network,
        before: Mapping[str, AnyStack],
        connections: Sequence[Connections],
        grown: Grown | None,
    ) -> None:
        self._before = before
        self._indices: dict[str, list[np.ndarray | None]] = {name: [None] * len(connections) for name in before}
        self._grown: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for index, layer in enumerate(network.layers):
            every = np.arange(layer.size)
            self._indices[layer.parameter] = [every if own[index] is None else own[index] for own in connections]
            if grown is not None:
                self._grown[layer.parameter] = [own[index] for own in grown]

    def fill(self, stacks: Mapping[str, AnyStack], device: torch.device) -> None:
        """Give new, empty stacks the values that stand at their places, and those of connections that begin anew."""
        for name, stack in stacks.items():
            for number, indices in enumerate(self._indices[name]):
                stack.put(number, indices, self._values(name, number, self._before[name].values, anew=True))
            stack.to(device)

    def moment(self, name: str, stack: AnyStack, moment: torch.Tensor) -> torch.Tensor:
        """Return an optimizer's tensor for a new stack: what stood there, and zero where connections begin anew."""
        there = torch.zeros_like(stack.values)
        for number, indices in enumerate(self._indices[name]):
            stack.write(there, number, indices, self._values(name, number, moment, anew=False))
        return there

    def carry(self, optimizer: torch.optim.Optimizer, into: torch.optim.Optimizer, stacks: Mapping[str, AnyStack]) -> None:
        """Give the optimizer of new stacks what that of the stacks until now remembers (see `moment`)."""
        for name, stack in stacks.items():
            before = self._before[name].values
            for key, value in optimizer.state[before].items():
                moves = isinstance(value, torch.Tensor) and value.shape == before.shape
                into.state[stack.values][key] = self.moment(name, stack, value) if moves else value

    def _values(self, name: str, number: int, tensor: torch.Tensor, anew: bool) -> np.ndarray:
        indices = self._indices[name][number]
        if name not in self._grown or not len(self._grown[name][number][0]):
            return self._before[name].read(tensor, number, indices)
        new, values = self._grown[name][number]
        order = np.argsort(new)
        fresh = np.isin(indices, new, assume_unique=True)
        out = np.zeros(len(indices), np.float32)
        out[~fresh] = self._before[name].read(tensor, number, indices[~fresh])
        out[fresh] = values[order] if anew else 0
        return out
