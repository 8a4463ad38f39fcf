"""What methods share that learn more of a network than its weights: its minibatches and its module, one network at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from evosparse.errors import SpecError
from evosparse.nets import Network
from evosparse.nets.optimize import make_optimizer, set_learning_rate
from evosparse.nets.randomness import Purpose, generator
from evosparse.sparsify.cohort import Cohort, State


def minibatches(cohort: Cohort, number: int, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
    """Yield a network's minibatches of an epoch, in the order in which its population would train on them.

    Args:
        cohort: the networks.
        number: of the network.
        epoch: of the training.

    Yields:
        (batch, *input_shape) examples, their labels, and the epochs that are over, with the fraction of this one.
    """
    x, y, batch = cohort.train.x, cohort.train.y, cohort.training.batch
    order = generator(cohort.replicates[number].seeds.order, Purpose.ORDER, epoch).permutation(len(x))
    for start in range(0, len(x), batch):
        rows = order[start : start + batch]
        yield torch.from_numpy(x[rows]), torch.from_numpy(y[rows]), epoch + start / len(x)


def without_dropout(network: Network) -> nn.Module:
    """Return the network's module in training mode, dropout off."""
    module = network.module().train()
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.eval()
    return module


class Learner:
    """A network's parameters as leaves, and the optimizer that the training names.

    Args:
        cohort: the networks; their training says optimizer and schedule.
        state: the network's parameters and buffers.
        epochs: of the training.

    Attributes:
        tensors: all of them by name, copies; buffers are changed in place when the module is called.
    """

    def __init__(self, cohort: Cohort, state: State, epochs: int) -> None:
        training = cohort.training
        if training.max_norm is not None or training.unscaled_decay or training.dropout or training.input_dropout:
            raise SpecError(
                "training: expected none of dropout, input_dropout, max_norm and unscaled_decay, with which this method"
                " does not train; leave them out"
            )
        self._training, self._epochs = training, epochs
        self.tensors: Mapping[str, torch.Tensor] = {
            name: torch.from_numpy(np.array(value)) for name, value in state.items()
        }
        network = cohort.network
        self.parameters = [*(layer.parameter for layer in network.layers), *network.unmasked]
        self._optimizer = make_optimizer(training, [self.tensors[name] for name in self.parameters])

    def step(self, gradients: Mapping[str, torch.Tensor], epochs: float) -> None:
        """Let the optimizer make a step after so many epochs.

        Args:
            gradients: of each parameter by name.
            epochs: that are over.
        """
        for name in self.parameters:
            self.tensors[name].grad = gradients[name]
        set_learning_rate(
            self._optimizer, self._training.learning_rate * self._training.schedule.share(epochs, self._epochs)
        )
        self._optimizer.step()

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of parameters and buffers."""
        return {name: value.detach().numpy().copy() for name, value in self.tensors.items()}


def led(penalty: float, density: float, wanted: float, progress: float) -> float:
    """Return the penalty of the next step: more where too much is left, so that after half of the time it is little enough.

    Args:
        penalty: of this step.
        density: what is left now, as a share.
        wanted: the share that shall be left at the end.
        progress: share of the training that is over.
    """
    now = wanted ** min(1.0, 2 * progress)
    excess = math.log(max(density, 1e-9) / max(now, 1e-9))
    return min(1.0, penalty * math.exp(0.02 * max(-3.0, min(3.0, excess))))
