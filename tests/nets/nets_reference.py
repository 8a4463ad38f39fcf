"""What the tests of nets share: small data, random connections, and training as a plain loop over ordinary modules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from evosparse.nets import (
    Connections,
    InitialisationSpec,
    Network,
    Population,
    Seeds,
    TrainingSpec,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.modules import Activation, perceptron
from evosparse.nets.randomness import Purpose, generator

COMBINATIONS = [("mlp", "dense"), ("mlp", "packed"), ("mlp", "csr"), ("module", "dense"), ("module", "packed")]
EVERY_KERNEL = pytest.mark.parametrize(("kind", "kernel"), COMBINATIONS, ids=["-".join(both) for both in COMBINATIONS])
"""Each kernel with what it trains, as the arguments ``kind`` (see `small`) and ``kernel`` of a test."""


def small(kind: str, activation: Activation = "relu", hidden: Sequence[int] = (11, 7)) -> Network:
    """Return a multilayer perceptron of 13 inputs and 3 classes: as such (``mlp``) or as a user's ``module``."""
    if kind == "mlp":
        return multilayer_perceptron((13,), 3, hidden, activation)
    return inspect_module(partial(perceptron, (13, *hidden, 3), activation), (13,), 3, "perceptron")


def examples(n: int, shape: Sequence[int], classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy prototypes of classes, so that something can be learnt."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    prototypes = rng.random((classes, *shape))
    return (prototypes[y] + 0.5 * rng.standard_normal((n, *shape))).astype(np.float32), y


def random_connections(network: Network, density: float, seed: int) -> list[np.ndarray]:
    """Return connections with round(density * size), at least one, in each layer."""
    rng = np.random.default_rng(seed)
    counts = [max(1, round(density * layer.size)) for layer in network.layers]
    sizes = [layer.size for layer in network.layers]
    return [np.sort(rng.choice(size, count, replace=False)) for size, count in zip(sizes, counts, strict=True)]


def expand(network: Network, index: int, indices: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Return a layer's values as an array of the layer's shape, zero where no connection exists."""
    dense = np.zeros(network.layers[index].shape, values.dtype)
    dense.reshape(-1)[slice(None) if indices is None else indices] = values
    return dense


def dense(population: Population, read: str, index: int) -> np.ndarray:
    """Return what a population tells of a layer as a (population, *shape) array, zero where no connection exists.

    Args:
        read: the method that tells: weights, initial_weights or gradients.
        index: of the layer.
    """
    tell = getattr(population, read)
    return np.stack(
        [
            expand(population.network, index, population.connections(number)[index], tell(index, number))
            for number in range(len(population))
        ]
    )


def bool_masks(network: Network, connections: Connections) -> dict[str, np.ndarray]:
    """Return a boolean array of each layer's shape, by the name of the parameter."""
    masks = {}
    for layer, indices in zip(network.layers, connections, strict=True):
        mask = np.zeros(layer.shape, bool)
        mask.ravel()[slice(None) if indices is None else indices] = True
        masks[layer.parameter] = mask
    return masks


def distinct_seeds(population: int) -> list[Seeds]:
    """Return other seeds for each network."""
    return [Seeds(weights=10 + i, order=20 + i, noise=30 + i) for i in range(population)]


def make(
    network: Network,
    connections: Sequence[Connections],
    seeds: Sequence[Seeds] | None = None,
    training: TrainingSpec | None = None,
    initialisation: InitialisationSpec | None = None,
    epochs: int = 100,
    **options: object,
) -> Population:
    """Return a population on the CPU."""
    seeds = distinct_seeds(len(connections)) if seeds is None else seeds
    return Population(
        network,
        connections,
        seeds,
        training or TrainingSpec(batch=16),
        initialisation or InitialisationSpec(),
        epochs,
        device="cpu",
        **options,
    )


def reference_training(
    network: Network,
    state: dict[str, np.ndarray],
    connections: Connections,
    seeds: Seeds,
    training: TrainingSpec,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
) -> dict[str, np.ndarray]:
    """Train one network as a textbook does, in float64: an ordinary module, torch's optimizer, masks by hand.

    Args:
        state: the state dict to start from.

    Returns:
        The state dict after training.
    """
    module = network.module().double()
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    masks = {name: torch.tensor(mask) for name, mask in bool_masks(network, connections).items()}
    parameters = dict(module.named_parameters())
    optimizer = make_reference_optimizer(training, list(parameters.values()))
    steps = math.ceil(len(x) / training.batch)
    scheduler = _scheduler(optimizer, training, steps, epochs)
    for epoch in range(epochs):
        order = generator(seeds.order, Purpose.ORDER, epoch).permutation(len(x))
        for start in range(0, len(x), training.batch):
            rows = order[start : start + training.batch]
            optimizer.zero_grad()
            cross_entropy(module(torch.tensor(x[rows]).double()), torch.tensor(y[rows])).backward()
            optimizer.step()
            scheduler.step()
            with torch.no_grad():
                for name, mask in masks.items():
                    parameters[name] *= mask
                    for value in optimizer.state[parameters[name]].values():
                        if isinstance(value, torch.Tensor) and value.shape == mask.shape:
                            value *= mask
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def expect_equal_states(populations: Sequence[Population]) -> None:
    """Compare all that each network came to under several kernels."""
    for number in range(len(populations[0])):
        first, *others = (population.state(number) for population in populations)
        for other in others:
            assert first.keys() == other.keys()
            for name, value in first.items():
                np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=1e-5, err_msg=name)


def recorded_training(
    population: Population, x: np.ndarray, y: np.ndarray, epochs: int
) -> list[list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]]:
    """Train, and tell of every step what each network's parameters were and what gradients the optimizer got for them.

    Returns:
        For each step, for each network: the values and the gradients, by name, of the parameters' shapes.
    """
    stacks, steps = population._kernel.stacks, []

    def look(*_: object) -> None:
        both = []
        for number in range(len(population)):
            values = {name: stack.expand(stack.values, number) for name, stack in stacks.items()}
            gradients = {name: stack.expand(stack.values.grad, number) for name, stack in stacks.items()}
            both.append(tuple({name: own.numpy().copy() for name, own in part.items()} for part in (values, gradients)))
        steps.append(both)

    hook = population._optimizer.register_step_pre_hook(look)
    population.train(x, y, epochs)
    hook.remove()
    return steps


def minibatches(seeds: Seeds, examples: int, batch: int, epochs: int) -> list[np.ndarray]:
    """Return the examples of each training step of a network."""
    orders = [generator(seeds.order, Purpose.ORDER, epoch).permutation(examples) for epoch in range(epochs)]
    return [order[start : start + batch] for order in orders for start in range(0, examples, batch)]


class Margin(NamedTuple):
    """How far the inputs of ReLUs and their like, and of maximum pooling, stay from where their derivative jumps.

    Where that is within an error of float32, the derivative may be another one.

    Args:
        absolute: the least distance; infinite where all is smooth.
        relative: the least ratio of a distance to the largest input of the layer.
    """

    absolute: float
    relative: float


def reference_gradients(
    network: Network, values: Mapping[str, np.ndarray], connections: Connections, x: np.ndarray, y: np.ndarray
) -> tuple[dict[str, np.ndarray], Margin]:
    """Return the gradients of a minibatch's mean cross-entropy by plain autograd in float64.

    Returns:
        The gradients by name, zero where no connection exists; and how reliable float32 is.
    """
    module = network.module().double().train()
    module.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)
    margins = [Margin(math.inf, math.inf)]

    def measure(part: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        numbers = inputs[0].detach()
        if isinstance(part, _MAXIMA):  # of any two positions of an example's channel, as one window might see them
            distances = numbers.flatten(0, 1).flatten(1).sort(dim=1).values.diff(dim=1)
        else:
            distances = numbers.abs()
        # Where it is exactly zero it is so in any precision: an input without connections, or a tie of two zeros.
        distances = distances[distances > 0]
        if len(distances):
            margins.append(Margin(distances.min().item(), (distances.min() / numbers.abs().max()).item()))

    for part in module.modules():
        if isinstance(part, (*_KINKED, *_MAXIMA)):
            part.register_forward_pre_hook(measure)
    cross_entropy(module(torch.tensor(x).double()), torch.tensor(y)).backward()
    masks = bool_masks(network, connections)
    gradients = {name: value.grad.numpy() * masks.get(name, True) for name, value in module.named_parameters()}
    return gradients, Margin(*(min(own) for own in zip(*margins, strict=True)))


_KINKED = (nn.ReLU, nn.LeakyReLU, nn.SELU)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def make_reference_optimizer(training: TrainingSpec, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """Return torch's optimizer in its plainest form, for parameters in float64."""
    if training.optimizer == "adam":
        return torch.optim.Adam(parameters, training.learning_rate, weight_decay=training.weight_decay, foreach=False)
    return torch.optim.SGD(
        parameters,
        training.learning_rate,
        training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.nesterov,
        foreach=False,
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, training: TrainingSpec, steps: int, epochs: int
) -> torch.optim.lr_scheduler.LRScheduler:
    schedule = training.schedule
    match schedule.name:
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps * epochs)
        case "step":
            return torch.optim.lr_scheduler.StepLR(optimizer, schedule.every * steps, schedule.factor)
        case _:
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
