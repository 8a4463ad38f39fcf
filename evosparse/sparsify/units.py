"""Hidden units of a chain of layers: which weights belong to them, and what is left when some of them go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import SpecError
from evosparse.nets import Connections, Layer, Network

Units = NDArray[np.bool_]


def expect_chain(network: Network, method: str) -> None:
    """Refuse a network of which it is not known which layer reads which.

    Raises:
        SpecError: its module is no nn.Sequential of known parts, or its layers do not follow each other.
    """
    pairs = zip(network.layers[:-1], network.layers[1:])
    if network.plan is None or any(
        len(after.shape) > 1 and after.shape[1] % before.shape[0] for before, after in pairs
    ):
        raise SpecError(
            f"{method}: expected a chain of layers (nn.Sequential of known parts), in which each reads the last, got a module"
            " of another form; use a named network, or a method that removes weights and not units"
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
        inputs = sums[index - 1] * inputs_of_unit(layer, len(units[index - 1])) if index else layer.fan_in
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
            stays &= ~doomed[index - 1][own % layer.fan_in // inputs_of_unit(layer, len(doomed[index - 1]))]
        left.append(own[stays])
    return left


def inputs_of_unit(layer: Layer, units: int) -> int:
    """Return how many inputs of a layer's unit come from each unit of the layer before.

    The input of a convolution, and of a layer behind one, has several places for each unit of the layer before.
    """
    return layer.fan_in // units


def heard(layers: Sequence[Layer], connections: Connections) -> list[Units]:
    """Return which units of each hidden layer are read by the next one."""
    found = []
    for before, after, own in zip(layers[:-1], layers[1:], connections[1:], strict=True):
        units = np.zeros(before.shape[0], bool)
        units[np.unique(own % after.fan_in // inputs_of_unit(after, before.shape[0]))] = True
        found.append(units)
    return found


def without_unheard(layers: Sequence[Layer], connections: Connections) -> list[np.ndarray]:
    """Return connections without those into hidden units that nothing reads, from the last layer to the first."""
    left = list(connections)
    for index in range(len(layers) - 2, -1, -1):
        units = heard(layers[index : index + 2], left[index : index + 2])[0]
        left[index] = left[index][units[left[index] // layers[index].fan_in]]
    return left
