"""What the tests of nets share: small data, random connections, and training as a plain loop over ordinary modules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from evosparse.nets import Connections, InitialisationSpec, Network, Population, Seeds, TrainingSpec
from evosparse.nets.randomness import Purpose, generator


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
    if training.optimizer == "adam":
        optimizer = torch.optim.Adam(parameters.values(), training.learning_rate, weight_decay=training.weight_decay)
    else:
        optimizer = torch.optim.SGD(
            parameters.values(),
            training.learning_rate,
            training.momentum,
            weight_decay=training.weight_decay,
            nesterov=training.nesterov,
        )
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
