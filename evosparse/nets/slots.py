"""Places in a network where each network of a population has an activation function of its own."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import torch
from torch import nn

Role = Literal["input", "hidden", "output"]
"""Behind the first layer, behind one in the middle, or behind the last hidden layer."""

ROLES: tuple[Role, ...] = get_args(Role)


class Slot(nn.Module):
    """A place for an activation function, in a user's module too; it has no parameters.

    Args:
        role: which of the evolved functions goes there.
        default: what the place does in a network that is given no functions, without parameters; ReLU if not given.

    Raises:
        ValueError: there is no such role.
    """

    def __init__(self, role: Role, default: nn.Module | None = None) -> None:
        super().__init__()
        if role not in ROLES:
            raise ValueError(f"expected the role of a slot, one of {', '.join(ROLES)}, got {role!r}")
        self.role: Role = role
        # Past torch's registration of submodules: the slots of a module are its leaves.
        self.__dict__["function"] = nn.ReLU() if default is None else default

    def train(self, mode: bool = True) -> Slot:
        """Set training or evaluation, of the function too."""
        if isinstance(self.function, nn.Module):
            self.function.train(mode)
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the function elementwise."""
        return self.function(x)


class Activations(Protocol):
    """The activation functions of a population's networks, in all of their slots."""

    def apply(self, place: int, x: torch.Tensor, networks: slice, step: int | None) -> torch.Tensor:
        """Apply to each network's pre-activations the network's own function.

        Args:
            place: number of the slot in the network, from 0.
            x: (networks, batch, *shape) contiguous pre-activations.
            networks: which networks of the population these are.
            step: number of the training step, for functions that are random in training; None in evaluation.

        Returns:
            A tensor like ``x``, through which gradients flow.
        """
        ...

    def differentiate(
        self, place: int, x: torch.Tensor, networks: slice, step: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `apply` does and the derivative of each number with respect to its own pre-activation.

        Args:
            place, x, networks, step: see `apply`.

        Returns:
            Two tensors like ``x``, outside of any graph.
        """
        ...


def perceptron_roles(hidden: int) -> tuple[Role, ...]:
    """Return the role of the slot behind each hidden layer of a multilayer perceptron.

    A network with one hidden layer has the first role, one with two the first and the last.

    Args:
        hidden: number of hidden layers.
    """
    if hidden < 2:
        return ("input",) * hidden
    return ("input", *("hidden",) * (hidden - 2), "output")
