"""Hidden units of a chain of layers: which weights belong to them, and what is left when some of them go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import SpecError
from evosparse.nets import Connections, Layer, Network
from evosparse.nets.augmented import AugmentedNetwork
from evosparse.sparsify.budget import Positions, best_of_all

Units = NDArray[np.bool_]


def expect_chain(network: Network, method: str) -> None:
    """Refuse a network of which it is not known which layer reads which units.

    Raises:
        SpecError: its module is no nn.Sequential of known parts, or something between two layers mixes units.
    """
    if network.plan is None and not isinstance(network, AugmentedNetwork):
        raise SpecError(
            f"{method}: expected a chain of layers (nn.Sequential of known parts), in which each reads the last, got a module"
            " of another form; use a named network, or a method that removes weights and not units"
        )
    for before, after in pairwise(network.layers):
        units, convolution = before.shape[0], len(after.shape) > 2
        # Of a linear layer one input that is left over is a constant; a convolution in groups reads fewer channels.
        if after.shape[1] != units if convolution else after.fan_in < units or after.fan_in % units > 1:
            raise SpecError(
                f"{method}: expected layers that read whole units of the one before, got {after.name} with {after.shape[1]} inputs"
                f" behind {before.name} with {units} units; leave out what mixes or divides units between them, or use a method"
                " that removes weights and not units"
            )


def expect_units(network: Network, sparsity: float, method: str) -> None:
    """Refuse a sparsity that does not leave room for one unit in each hidden layer.

    Raises:
        SpecError: it does not.
    """
    size = sum(layer.size for layer in network.layers)
    single = [np.eye(1, layer.shape[0])[0] for layer in network.layers[:-1]]
    least, most = int(weights_between(network, single)), round((1 - sparsity) * size)
    if least > most:
        raise SpecError(
            f"{method}: expected a sparsity that leaves the {least} weights of one unit in each hidden layer, got {sparsity:g},"
            f" which leaves {most}; ask for {1 - least / size:.4f} or less, or take a method that removes single weights"
        )


def weights_between(network: Network, units: Sequence[np.ndarray]) -> float:
    """Return how many weights there are between units.

    Args:
        network: a chain of layers.
        units: (units,) of each hidden layer: whether each is there, or with what probability, independently.
    """
    sums, total = [float(own.sum()) for own in units], 0.0
    for index, layer in enumerate(network.layers):
        outputs = sums[index] if index < len(sums) else layer.shape[0]
        inputs = float(layer.fan_in)
        if index:
            before = len(units[index - 1])
            inputs += inputs_of_unit(layer, before) * (sums[index - 1] - before)
        total += outputs * inputs
    return total


def without(
    layers: Sequence[Layer], connections: Connections, doomed: Sequence[Units], outgoing: bool = True
) -> list[np.ndarray]:
    """Return connections, or positions, without those of some hidden units.

    Args:
        layers: of the network.
        connections: flat indices for each layer.
        doomed: for each hidden layer, which of its units.
        outgoing: whether what leaves them goes too.
    """
    left = []
    for index, (layer, own) in enumerate(zip(layers, connections, strict=True)):
        stays = np.ones(len(own), bool)
        if index < len(doomed):
            stays &= ~doomed[index][own // layer.fan_in]
        if outgoing and index:
            stays &= ~np.append(doomed[index - 1], False)[units_read(layer, own, len(doomed[index - 1]))]
        left.append(own[stays])
    return left


def inputs_of_unit(layer: Layer, units: int) -> int:
    """Return how many inputs of a layer's unit come from each unit of the layer before.

    The input of a convolution, and of a layer behind one, has several places for each unit of the layer before. What is
    left over are constants (see `nets.augmented`); a constant beside a single unit counts as that unit's.
    """
    return layer.fan_in // units


def units_read(layer: Layer, connections: np.ndarray, units: int) -> np.ndarray:
    """Return which unit of the layer before each connection reads; for constants, the number of units.

    Args:
        layer: that reads.
        connections: (connections,) flat indices of its weights.
        units: of the layer before.
    """
    return np.minimum(connections % layer.fan_in // inputs_of_unit(layer, units), units)


def heard(layers: Sequence[Layer], connections: Connections) -> list[Units]:
    """Return which units of each hidden layer are read by the next one."""
    found = []
    for before, after, own in zip(layers[:-1], layers[1:], connections[1:], strict=True):
        units = np.zeros(before.shape[0] + 1, bool)
        units[units_read(after, own, before.shape[0])] = True
        found.append(units[:-1])
    return found


def without_unheard(layers: Sequence[Layer], connections: Connections) -> list[np.ndarray]:
    """Return connections without those into hidden units that nothing reads, from the last layer to the first."""
    left = list(connections)
    for index in range(len(layers) - 2, -1, -1):
        units = heard(layers[index : index + 2], left[index : index + 2])[0]
        left[index] = left[index][units[left[index] // layers[index].fan_in]]
    return left


def heard_best(
    layers: Sequence[Layer], scores: Sequence[np.ndarray], count: int, existing: Sequence[Positions]
) -> list[Positions]:
    """Return the positions of the greatest scores of which each is into a unit that is read, as many as asked for.

    Those into units that nothing reads give way to the best ones of the others, again and again.

    Args:
        layers: of the network.
        scores: for each layer, one score for each of its positions.
        count: how many in all.
        existing: for each layer, its positions.
    """
    left = without_unheard(layers, best_of_all(scores, count, existing))
    while missing := count - sum(map(len, left)):
        told = [*heard(layers, left), np.ones(layers[-1].shape[0], bool)]
        free = [
            told[index][own // layer.fan_in] & ~np.isin(own, left[index], assume_unique=True)
            for index, (layer, own) in enumerate(zip(layers, existing, strict=True))
        ]
        added = best_of_all(
            [score[place] for score, place in zip(scores, free, strict=True)],
            missing,
            [own[place] for own, place in zip(existing, free, strict=True)],
        )
        if not sum(map(len, added)):
            break
        left = [np.sort(np.concatenate(both)) for both in zip(left, added, strict=True)]
    return left
