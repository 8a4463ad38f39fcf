"""A planted mother as a torch module that anything of evosparse can train, with biases that can be pruned as weights are.

A bias is one more weight of its layer, the last column; see `nets.augmented`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import torch

from evosparse.engine.seeds import SeedKey
from evosparse.nets import Connections, InitialisationSpec, Network
from evosparse.nets.augmented import AugmentedPerceptron
from evosparse.nets.inspection import inspect_module
from evosparse.sparsify.planted.mother import Planted, draw_mother, mother_widths, plant
from evosparse.sparsify.planted.network import Masks, ReluNetwork
from evosparse.sparsify.planted.targets import SHAPES, Task, check_task, make_ticket

INITIALISATION = InitialisationSpec(weights="module", mask_aware=False)
"""Leaves the planted weights as they are; any other would draw over the ticket."""


class PlantedModule(AugmentedPerceptron):
    """A mother with a ticket in it.

    Args:
        planted: mother and ticket in float64; the module's weights are rounded to float32.
    """

    def __init__(self, planted: Planted) -> None:
        super().__init__(planted.network.widths)
        both = zip(planted.network.weights, planted.network.biases, strict=True)
        with torch.no_grad():
            for parameter, (weights, biases) in zip(self.parameters(), both, strict=True):
                parameter.copy_(torch.from_numpy(np.column_stack([weights, biases])))
        self.planted = planted


def planted_module(input_shape: Sequence[int], classes: int, task: Task, depth: int = 5, width: int = 100) -> PlantedModule:
    """Draw a mother and plant a task's ticket in it; a campaign names this factory as its ``network.module``.

    The mother is drawn from torch's global generator, so that each seed has its own; see `INITIALISATION`.

    Args:
        input_shape, classes: of the task's data.
        task: ``circle``, ``relu`` or ``helix``.
        depth: layers, the input counted.
        width: units of each hidden layer.

    Raises:
        SpecError: there is no such task, or the ticket does not fit.
    """
    check_task(task)
    expected = ((SHAPES[task][0],), SHAPES[task][1])
    if (tuple(input_shape), classes) != expected:
        raise ValueError(f"expected inputs of shape {expected[0]} and {expected[1]} outputs for {task}; give its own data")
    return PlantedModule(planted_mother(task, depth, width, int(torch.randint(2**63 - 1, (1,)))))


@lru_cache(maxsize=4)
def planted_mother(task: Task, depth: int, width: int, number: int) -> Planted:
    """Return the planted mother of a number; the last ones are remembered, for modules are built again and again."""
    mother = draw_mother(mother_widths(task, depth, width), SeedKey(number))
    return plant(mother, make_ticket(task, depth))


def planted_network(task: Task, depth: int = 5, width: int = 100) -> Network:
    """Describe the planted mothers of a task, one for each seed (see `planted_module`)."""
    check_task(task)
    inputs, outputs = SHAPES[task]
    factory = partial(planted_module, (inputs,), outputs, task, depth, width)
    return inspect_module(factory, (inputs,), outputs, f"planted {task}")


def masks_of(network: Network, connections: Connections) -> Masks:
    """Return existing weights of a planted network as masks over weights and biases.

    Args:
        network: from `planted_network`.
        connections: per layer, flat indices of (n_out, n_in + 1), or None for all.
    """
    masks = []
    for layer, own in zip(network.layers, connections, strict=True):
        mask = np.full(layer.size, own is None)
        mask[slice(None) if own is None else own] = True
        masks.append(mask.reshape(layer.shape))
    return Masks(tuple(mask[:, :-1] for mask in masks), tuple(mask[:, -1] for mask in masks))


def connections_of(masks: Masks) -> list[np.ndarray]:
    """Return masks over weights and biases as flat indices of the planted network's layers; the inverse of `masks_of`."""
    both = zip(masks.weights, masks.biases, strict=True)
    return [np.flatnonzero(np.column_stack([weights, biases])) for weights, biases in both]


def values_of(network: Network, state: Mapping[str, np.ndarray]) -> ReluNetwork:
    """Return the weights and biases of a planted network's state in float64."""
    values = [np.asarray(state[layer.parameter], np.float64) for layer in network.layers]
    return ReluNetwork(tuple(value[:, :-1] for value in values), tuple(value[:, -1] for value in values))
