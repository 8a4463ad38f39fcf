"""The door that sparse matrix products must fit: what a layer of a packed population needs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from evosparse.nets.pattern import Pattern


class Products(Protocol):
    """The three products of one layer, for networks ``networks.start`` to ``networks.stop`` of a population.

    Activations are (networks, positions, batch) and contiguous, positions in C order of (channels, *extent) or
    (features,), the batch padded to a multiple of `kernel.LANES`.
    """

    def forward(
        self, values: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor, rectified: bool, networks: range
    ) -> torch.Tensor:
        """Return the layer's outputs.

        Args:
            values: (size,) values of the pattern.
            bias: (population, rows or more) biases.
            x: (networks, positions, batch) inputs, or (1, positions, batch) where all networks share them.
            rectified: replace negative outputs by zero.
            networks: which ones.
        """
        ...

    def weight_gradient(
        self,
        x: torch.Tensor,
        out: torch.Tensor | None,
        error: torch.Tensor,
        gradient: torch.Tensor,
        bias_gradient: torch.Tensor | None,
        networks: range,
    ) -> None:
        """Write the gradients of existing weights, and of biases.

        Args:
            x: inputs, as in `forward`.
            out: outputs, if they were rectified; then the error is set to zero where they are not positive.
            error: (networks, positions, batch) gradient of the outputs.
            gradient: (size,) to be written for these networks.
            bias_gradient: (population, rows or more) to be written for these networks.
            networks: which ones.
        """
        ...

    def input_gradient(self, values: torch.Tensor, error: torch.Tensor, networks: range) -> torch.Tensor:
        """Return the gradient of the inputs, (networks, positions, batch).

        Args:
            values: (size,) values of the pattern.
            error: gradient of the outputs, as in `weight_gradient`.
            networks: which ones.
        """
        ...


MakeProducts = Callable[[Pattern], Products]
