"""A network as evosparse sees it: an architecture bound to an input shape, with the layers whose weights can be masked.

Nothing here holds values; kernels train networks, and `Network.module` builds one as an ordinary torch module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from evosparse.nets.modules import PerceptronActivation, hidden_activations, perceptron
from evosparse.nets.plan import Step, perceptron_plan, positions
from evosparse.nets.randomness import Purpose, torch_seed
from evosparse.nets.slots import Role, perceptron_roles

Connections = Sequence[np.ndarray | None]
"""Per layer, the sorted flat indices (C order) of the weights that exist; None for all of them."""


@dataclass(frozen=True)
class Layer:
    """The weights of one linear or convolutional layer.

    Args:
        name: the layer's name in its module.
        shape: (n_out, n_in) or (n_out, n_in, *kernel) of the weights.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def parameter(self) -> str:
        """The name of the weights in the module's state dict."""
        return f"{self.name}.weight"

    @property
    def size(self) -> int:
        """Number of weights when dense."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int:
        """Weights into each output unit or channel when dense."""
        return math.prod(self.shape[1:])

    @property
    def fan_out(self) -> int:
        """Weights out of each input unit or channel when dense."""
        return self.size // self.shape[1]


@dataclass(frozen=True, eq=False)
class Network:
    """An architecture bound to an input shape and a number of classes.

    Args:
        input_shape: shape of one example.
        classes: number of outputs.
        layers: the weights that masks can remove.
        unmasked: name and shape of every other trained parameter (biases, norms): never masked.
        positions: per layer, how often each weight is used for one example (1; output positions of a convolution).
        build: makes the network as a new torch module; may draw from torch's global generator.
        plan: the steps of which it consists, for kernels that store existing weights alone; None if they are not known.
        slots: the role of each place where networks may have activation functions of their own.
    """

    input_shape: tuple[int, ...]
    classes: int
    layers: tuple[Layer, ...]
    unmasked: Mapping[str, tuple[int, ...]]
    positions: tuple[int, ...]
    build: Callable[[], nn.Module]
    plan: tuple[Step, ...] | None
    slots: tuple[Role, ...]

    def module(self, seed: int = 0) -> nn.Module:
        """Build the network as an ordinary torch module on the CPU.

        Args:
            seed: of the values that the module gives itself; torch's global generator is left as it was.
        """
        with _drawing(seed):
            return self.build()

    def module_values(self, seeds: Sequence[int]) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield the values that the trained parameters of `module` give themselves, by name, for each seed."""
        for seed in seeds:
            yield {name: value.detach().numpy() for name, value in self.module(seed).named_parameters()}

    @property
    def activations(self) -> int:
        """How many numbers the steps of the plan make of one example, all in all."""
        return positions(self.plan or ())

    def multiply_adds(self, connections: Connections) -> int:
        """Return the multiply-adds of one example at the real number of weights, biases and activations not counted."""
        return sum(
            (layer.size if indices is None else len(indices)) * positions
            for layer, positions, indices in zip(self.layers, self.positions, connections, strict=True)
        )


@dataclass(frozen=True, eq=False)
class MultilayerPerceptron(Network):
    """Fully connected layers with an activation between; what the fast kernels train.

    Args:
        widths: (layers + 1,) units of the input, the hidden layers and the output.
        activation: of the hidden layers.
        slope: of ``all_relu``.
    """

    widths: tuple[int, ...]
    activation: PerceptronActivation
    slope: float | None = None

    def module_values(self, seeds: Sequence[int]) -> Iterator[Mapping[str, np.ndarray]]:
        # Its layers draw nothing but their own values: one module that draws them anew, layer after layer, will do.
        module = self.module()
        linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
        for seed in seeds:
            with _drawing(seed):
                for part in linear:
                    part.reset_parameters()
            yield {name: value.detach().numpy().copy() for name, value in module.named_parameters()}


def multilayer_perceptron(
    input_shape: Sequence[int],
    classes: int,
    hidden: Sequence[int],
    activation: PerceptronActivation = "relu",
    slope: float | None = None,
) -> MultilayerPerceptron:
    """Describe a multilayer perceptron; inputs of any shape are flattened.

    Args:
        input_shape: shape of one example.
        classes: number of outputs.
        hidden: units of each hidden layer.
        activation: of the hidden layers.
        slope: of ``all_relu`` (see `modules.hidden_activations`).
    """
    widths = (math.prod(input_shape), *hidden, classes)
    names = [*(f"hidden{number}" for number in range(1, len(hidden) + 1)), "output"]
    return MultilayerPerceptron(
        input_shape=tuple(input_shape),
        classes=classes,
        layers=tuple(Layer(name, (widths[i + 1], widths[i])) for i, name in enumerate(names)),
        unmasked={f"{name}.bias": (width,) for name, width in zip(names, widths[1:], strict=True)},
        positions=(1,) * len(names),
        build=partial(perceptron, widths, activation, slope),
        plan=perceptron_plan(widths, hidden_activations(activation, len(hidden), slope)),
        slots=perceptron_roles(len(hidden)),
        widths=widths,
        activation=activation,
        slope=slope,
    )


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Let torch's global generator draw the values of a module with that seed; afterwards it is as it was."""
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(torch_seed(seed, Purpose.MODULE, 0))
        yield
    finally:
        torch.set_rng_state(state)
