"""What trains a population of networks: the door that every way of computing them must fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from evosparse.nets.stack import PackedStack, Stack

LANES = 32
"""Every slice of a stacked tensor is a multiple of so many floats, for the sake of exact equality on the CPU.

Torch's elementwise loops take 32 floats at a time (two AVX-512 vectors) and the rest one by one, with other last bits
for sigmoid, silu, elu, softplus and others; and matrix products of slices that do not start at a multiple of 64 bytes
differ in their last bits from those that do. With such slices neither happens, so that a network's result depends
neither on its place among the others nor on their number.
"""


Fill = Callable[["Mapping[str, Stack | PackedStack]"], None]
"""Gives the empty stacks of a new kernel their values: drawn from seeds, or those of the kernel before."""


class Kernel(Protocol):
    """Computes all networks of a population.

    Attributes:
        stacks: by name in the module's state dict, every trained parameter.
    """

    stacks: Mapping[str, Stack | PackedStack]

    def backward(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> None:
        """Set the gradient of every stack: of each network's mean loss over its minibatch.

        Args:
            x: (n, *input_shape) all examples.
            y: (n,) their classes, or (n, outputs) values.
            rows: (batch,) the examples of the minibatch, or (population, batch) where networks differ in them.
            step: number of the training step; dropout is drawn for it.
        """
        ...

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (population, batch, classes) logits of a batch, without dropout.

        Args:
            x: (batch, *input_shape) examples, in memory of their own.
        """
        ...

    def buffers(self, number: int) -> Mapping[str, torch.Tensor]:
        """Return what else a network's state dict holds, such as running means and parameters that are not trained."""
        ...


def padded(extent: int) -> int:
    """Round up to a multiple of `LANES`."""
    return -(-extent // LANES) * LANES


def only_if_equal(seeds: Sequence[int]) -> Sequence[int]:
    """Return one seed for all networks if theirs are equal, and each network's own otherwise."""
    return seeds[:1] if len(set(seeds)) == 1 else seeds


def minibatch(x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return copies of a network's examples of a minibatch; for the arguments see `Kernel.backward`."""
    own = rows if rows.ndim == 1 else rows[number]
    return x[own].cpu().numpy(), y[own].cpu().numpy()
