"""Plain relu networks and masks over them as numpy values, in float64, so that what is planted can be compared exactly.

Ticket, mother and planted network are all of this form; training happens elsewhere, on copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Masks:
    """Which weights and biases of a network exist.

    Args:
        weights: per layer, an (n_out, n_in) bool array.
        biases: per layer, an (n_out,) bool array.
    """

    weights: tuple[NDArray[np.bool_], ...]
    biases: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class ReluNetwork:
    """A fully connected network with relu between its layers and a linear last layer.

    Args:
        weights: per layer, an (n_out, n_in) float64 array.
        biases: per layer, an (n_out,) float64 array.
    """

    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """(layers + 1,) units of the input and of each layer."""
        return (self.weights[0].shape[1], *(len(biases) for biases in self.biases))

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the (n, n_out) outputs for (n, n_in) inputs."""
        values = np.asarray(x, dtype=np.float64)
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = np.maximum(values @ weights.T + biases, 0)
        return values @ self.weights[-1].T + self.biases[-1]

    def masked(self, masks: Masks) -> ReluNetwork:
        """Return the network with zeros where the masks have no weight or bias."""
        return ReluNetwork(
            tuple(np.where(mask, values, 0.0) for values, mask in zip(self.weights, masks.weights, strict=True)),
            tuple(np.where(mask, values, 0.0) for values, mask in zip(self.biases, masks.biases, strict=True)),
        )
