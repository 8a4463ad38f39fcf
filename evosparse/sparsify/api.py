"""The family for users without a campaign: one call on any network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evosparse.data import DataSet, DataSpec, SearchData, Test, load
from evosparse.nets import InitialisationSpec, Network, NetworkSpec, TrainingSpec, build, inspect_module
from evosparse.sparsify.base import Sparsifier, as_method
from evosparse.sparsify.cohort import Sparsified
from evosparse.sparsify.compact import Compact, compact
from evosparse.sparsify.fitness import Bench, accuracy, module_of
from evosparse.sparsify.genome import Recipe
from evosparse.sparsify.problem import expect_fitting


@dataclass(frozen=True, eq=False)
class SparseNetwork:
    """What a method made of a network.

    Args:
        network: the architecture.
        result: connections, states and measures.
    """

    network: Network
    result: Sparsified

    @property
    def measures(self) -> Mapping[str, float]:
        """Validation figures, sizes and costs."""
        return self.result.measures

    @property
    def masks(self) -> Mapping[str, NDArray[np.bool_]]:
        """By layer, an array of the weights' shape, true where one exists."""
        masks = {}
        for layer, own in zip(self.network.layers, self.result.connections, strict=True):
            mask = np.zeros(layer.size, dtype=bool)
            mask[own] = True
            masks[layer.name] = mask.reshape(layer.shape)
        return masks

    def module(self, selected: bool = False) -> nn.Module:
        """Return it as an ordinary torch module in evaluation mode, removed weights as zeros.

        Args:
            selected: as it was after the epoch that was best on the validation examples, not at the end.
        """
        return module_of(self.network, self.result.selected if selected else self.result.state)

    def compact(self, selected: bool = False) -> Compact:
        """Return the smaller dense network without dead units that answers as this one does (see `compact.compact`).

        Args:
            selected: see `module`.

        Raises:
            SpecError: the network is no chain of layers.
        """
        state = self.result.selected if selected else self.result.state
        places = [np.flatnonzero(state[layer.parameter]) for layer in self.network.layers]
        return compact(self.network, places, state)

    def accuracy(self, examples: Test, selected: bool = False) -> float:
        """Return the share of examples that it classifies rightly (see `module`)."""
        return accuracy(self.network, self.result.selected if selected else self.result.state, examples)


def sparsify(
    network: str | NetworkSpec | nn.Module | Callable[..., nn.Module],
    data: str | DataSpec | DataSet | SearchData,
    method: str | Sparsifier = "rigl",
    sparsity: float = 0.9,
    *,
    epochs: int = 10,
    seeds: int = 1,
    seed: int = 0,
    training: TrainingSpec = TrainingSpec(),
    initialisation: InitialisationSpec | None = None,
    device: str | None = None,
) -> list[SparseNetwork]:
    """Make a network sparse by a published method; all seeds are trained as one population.

    Args:
        network: a name such as ``lenet300``, a module, or a factory ``factory(input_shape, classes)`` of modules. A module's
            own values are what every seed begins with; the module itself is left alone.
        data: a name, a path, or examples in memory.
        method: a name or an instance, see `evosparse.sparsify.METHODS`.
        sparsity: share of the weights of linear and convolutional layers that shall not exist.
        epochs: length of a training.
        seeds: number of networks.
        seed: of all randomness.
        training: optimizer, schedule, batch size.
        initialisation: how initial weights are drawn; by default as the module gives them to itself, or He's normal
            distribution for named networks, not scaled to the mask.
        device: where to compute; CUDA where it is available if not given.

    Returns:
        A network for each seed.

    Raises:
        BadInput: something does not fit.
    """
    if isinstance(data, (str, DataSpec)):
        data = load(DataSpec(name=data) if isinstance(data, str) else data)
    examples = data.search if isinstance(data, DataSet) else data
    own = not isinstance(network, (str, NetworkSpec))
    if own:
        shape, classes = examples.input_shape, examples.classes
        make = partial(copy.deepcopy, network) if isinstance(network, nn.Module) else partial(network, shape, classes)
        architecture = inspect_module(make, shape, classes, type(network).__name__)
    else:
        spec = NetworkSpec(name=network) if isinstance(network, str) else network
        architecture = build(spec, examples.input_shape, examples.classes)
    default = InitialisationSpec(weights="module" if own else "he_normal", mask_aware=False)
    bench = Bench(examples, architecture, training, initialisation or default, epochs)
    recipes = [Recipe(as_method(method), sparsity, number) for number in range(seeds)]
    if recipes:
        expect_fitting(recipes[0], architecture)
    return [SparseNetwork(architecture, result) for result in bench.sparsify(recipes, seed, device)]
