"""A population whose training several workers share: gradients and whole states of training travel as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from evosparse.nets.architectures import Connections
from evosparse.nets.device import configured
from evosparse.nets.population import Population

Values = Mapping[str, Sequence[np.ndarray]]
"""For each trained parameter, the flat array of each network: of existing weights alone, in the order of their indices."""


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All from which a training goes on.

    Args:
        connections: the weights that exist in each network.
        values: of the parameters.
        moments: of the optimizer, by their name; plain numbers stand as they are.
        steps: training steps done.
        epochs: epochs done.
    """

    connections: Sequence[Connections]
    values: Values
    moments: Mapping[str, Mapping[str, Sequence[np.ndarray] | torch.Tensor]]
    steps: int
    epochs: int


class SharedPopulation(Population):
    """A population that can be trained by gradients from elsewhere; for the arguments see `Population`."""

    @property
    def has_buffers(self) -> bool:
        """Whether networks have more than parameters, such as running means."""
        return bool(self._kernel.buffers(0))

    @configured()
    def values(self) -> Values:
        """Return copies of all parameters."""
        return self._read({name: stack.values for name, stack in self._kernel.stacks.items()})

    @configured()
    def assume(self, connections: Sequence[Connections], values: Values) -> None:
        """Take over connections and values, without moments where connections are new.

        Args:
            connections: for each network.
            values: of all parameters.
        """
        if not _equal(connections, self._connections):
            grown = [
                [(own[:0], np.empty(0, np.float32)) if own is None else (own, np.zeros(len(own), np.float32)) for own in every]
                for every in connections
            ]
            self.rewire(connections, grown)
        self._write({name: stack.values for name, stack in self._kernel.stacks.items()}, values)

    @configured()
    def push(self, x: np.ndarray, y: np.ndarray, epoch: int, number: int, step: int) -> Values:
        """Return the gradients of a minibatch.

        Args:
            x: (n, *input_shape) examples.
            y: (n,) their classes, or (n, outputs) values.
            epoch: number of the epoch over these examples, which decides their order.
            number: of the minibatch in this epoch.
            step: number for which dropout is drawn.
        """
        examples, labels, batch = self._tensor(x, np.float32), self._targets(y), self._training.batch
        rows = self._order(len(x), epoch)[..., number * batch : (number + 1) * batch]
        self._backward(examples, labels, rows, step)
        return self._read({name: stack.values.grad for name, stack in self._kernel.stacks.items()})

    @configured()
    def pull(self, gradients: Values, progress: float, factor: float = 1.0) -> None:
        """Let the optimizer make a step.

        Args:
            gradients: of all parameters, for the connections that exist now.
            progress: epochs of the whole training that are done, with the fraction of the present one.
            factor: of the learning rate.
        """
        self._write({name: stack.values.grad for name, stack in self._kernel.stacks.items()}, gradients)
        self._update(progress, factor)

    @configured()
    def save(self) -> TrainingState:
        """Return copies of all from which training goes on."""
        moments: dict[str, dict[str, Sequence[np.ndarray] | torch.Tensor]] = {}
        for name, stack in self._kernel.stacks.items():
            own = moments[name] = {}
            for key, value in self._optimizer.state[stack.values].items():
                if isinstance(value, torch.Tensor) and value.shape == stack.values.shape:
                    own[key] = self._read({name: value})[name]
                elif value is not None:
                    own[key] = value.clone()
        return TrainingState(list(self._connections), self.values(), moments, self.steps, self.epochs_done)

    @configured()
    def resume(self, state: TrainingState) -> None:
        """Go on from a state of a population of the same networks.

        Args:
            state: as `save` returns it.
        """
        self.assume(state.connections, state.values)
        for name, own in state.moments.items():
            stack = self._kernel.stacks[name]
            for key, value in own.items():
                if isinstance(value, torch.Tensor):
                    self._optimizer.state[stack.values][key] = value.clone()
                    continue
                moment = self._optimizer.state[stack.values][key] = torch.zeros_like(stack.values)
                self._write({name: moment}, {name: value})
        self.steps, self.epochs_done = state.steps, state.epochs

    def _read(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, list[np.ndarray]]:
        stacks = self._kernel.stacks
        return {
            name: [stacks[name].read(tensor, number) for number in range(len(self))] for name, tensor in tensors.items()
        }

    def _write(self, tensors: Mapping[str, torch.Tensor], values: Values) -> None:
        places = {layer.parameter: index for index, layer in enumerate(self.network.layers)}
        for name, tensor in tensors.items():
            for number, own in enumerate(values[name]):
                indices = self._connections[number][places[name]] if name in places else None
                self._kernel.stacks[name].write(tensor, number, indices, own)


def matched(gradients: Values, before: Sequence[Connections], after: Sequence[Connections], names: Sequence[str]) -> Values:
    """Return gradients for other connections: entries of those that are gone are dropped, those of new ones are zero.

    Args:
        gradients: of all parameters.
        before: for each network, the connections that they are of.
        after: those that exist now.
        names: of each layer's weights.
    """
    out = dict(gradients)
    for index, name in enumerate(names):
        own = []
        for given, then, now in zip(gradients[name], before, after, strict=True):
            if then[index] is None or now[index] is None or np.array_equal(then[index], now[index]):
                own.append(given)
                continue
            fresh = np.zeros(len(now[index]), np.float32)
            _, old, new = np.intersect1d(then[index], now[index], assume_unique=True, return_indices=True)
            fresh[new] = given[old]
            own.append(fresh)
        out[name] = own
    return out


def _equal(one: Sequence[Connections], other: Sequence[Connections]) -> bool:
    return all(
        (mine is None) == (theirs is None) and (mine is None or np.array_equal(mine, theirs))
        for own, its in zip(one, other, strict=True)
        for mine, theirs in zip(own, its, strict=True)
    )
