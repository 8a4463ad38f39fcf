"""Perceptrons whose biases are weights: layers read a constant 1 beside their inputs, so that masks can remove biases.

The constant stands behind the inputs, and a bias is the last column of its layer's (n_out, n_in + 1) weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from evosparse.nets.architectures import Connections, Layer, Network
from evosparse.nets.kernel import Fill, padded
from evosparse.nets.losses import LossName
from evosparse.nets.modules import Activation
from evosparse.nets.perceptron import PerceptronKernel
from evosparse.nets.plan import expect_places_for_dropout
from evosparse.nets.randomness import Seeds
from evosparse.nets.stack import Stack


class WithOne(nn.Module):
    """Appends a 1 to each example: (n, features) becomes (n, features + 1)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the examples with the 1."""
        return functional.pad(x, (0, 1), value=1.0)


class AugmentedPerceptron(nn.Sequential):
    """A perceptron with relu between its layers, whose biases are weights; its weights are to be set by whoever makes it.

    Args:
        widths: (layers + 1,) units of the input and of each layer, the constants not among them.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
            parts[f"one{number}"] = WithOne()
            parts[f"layer{number}"] = nn.Linear(inputs + 1, outputs, bias=False)
            if number < len(widths) - 1:
                parts[f"relu{number}"] = nn.ReLU()
        super().__init__(parts)


@dataclass(frozen=True, eq=False)
class AugmentedNetwork(Network):
    """The architecture of an `AugmentedPerceptron`, which `AugmentedKernel` trains.

    Args:
        activation, slope: as of a `MultilayerPerceptron`; of any other, 1 would not stay 1.
    """

    activation: Activation = "relu"
    slope: float | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """(layers + 1,) units of the input and of each layer, the constants not among them."""
        return (self.layers[0].shape[1] - 1, *(layer.shape[0] for layer in self.layers))


class AugmentedKernel(PerceptronKernel):
    """`PerceptronKernel` without biases of its own: a unit of the padding gives the constant, as relu(0 x + 1).

    Args:
        network: the architecture.
        connections, seeds, fill: of each network.
        dropout: there is none.
        low_precision: multiply in bfloat16.
        loss: what training minimises.

    Raises:
        SpecError: dropout is asked for.
    """

    _network: AugmentedNetwork

    def __init__(
        self,
        network: AugmentedNetwork,
        connections: Sequence[Connections],
        seeds: Sequence[Seeds],
        fill: Fill,
        dropout: float,
        low_precision: bool,
        loss: LossName = "cross_entropy",
    ) -> None:
        if dropout:
            expect_places_for_dropout((), dropout)
        super().__init__(network, connections, seeds, fill, 0.0, low_precision, None, loss)
        device = self._weights[0].values.device
        self._constants = [torch.zeros(len(seeds), 1, stack.values.shape[1], device=device) for stack in self._weights]
        self._unused = [torch.zeros_like(constant) for constant in self._constants]
        for layer, constant in zip(network.layers[:-1], self._constants, strict=False):
            constant[:, :, layer.shape[0]] = 1

    def _add(self, layer: Layer) -> None:
        n_out, n_in = layer.shape
        last = layer is self._network.layers[-1]
        rows = padded(n_out if last else n_out + 1)
        stack = Stack(layer.shape, layer.shape, (rows, padded(n_in)), self._population, masked=True)
        self.stacks[layer.parameter] = stack
        self._weights.append(stack)

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x.flatten(x.ndim - len(self._network.input_shape)), (0, 1), value=1.0)
        features = x.shape[-1]
        return functional.pad(x, (0, padded(features) - features)).expand(self._population, -1, -1)

    def _parameters(self, layer: int) -> tuple[torch.Tensor, ...]:
        weight = self._weights[layer]
        return weight.current(), self._constants[layer], weight.values.grad, self._unused[layer]
