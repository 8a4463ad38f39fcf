"""One parameter of all networks in one tensor, padded so that each network's slice is treated alike.

`Stack` holds it densely, with a mask; `PackedStack` holds existing weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType

import numpy as np
import torch

from evosparse.nets.architectures import Connections, Network
from evosparse.nets.initial import InitialisationSpec, initial_unmasked, initial_weights, module_values
from evosparse.nets.pattern import Pattern
from evosparse.nets.randomness import Seeds


class Stack:
    """The values of one parameter in a population, zero where the mask or the padding leaves nothing.

    Args:
        shape: of the parameter in one network.
        inside: the part of a padded slice that holds it: ``shape``, or its size where it is stored flat.
        padded: shape of one network's slice; at least ``inside`` in each dimension.
        population: number of networks.
        masked: whether values may be missing; otherwise there is no mask.

    Attributes:
        values: (population, *padded) leaf tensor that an optimizer updates; its gradient is in ``values.grad``.
        mask: tensor like values, of int32: all bits set where a value exists, none elsewhere; or None.
        frozen: tensor like values: what removed weights go on contributing; or None.
    """

    def __init__(
        self, shape: Sequence[int], inside: Sequence[int], padded: Sequence[int], population: int, masked: bool
    ) -> None:
        self.shape = tuple(shape)
        self.values = torch.zeros(population, *padded)
        self.mask = torch.zeros(population, *padded, dtype=torch.int32) if masked else None
        self.frozen: torch.Tensor | None = None
        self._inside = tuple(inside)

    def empty(self) -> Stack:
        """Return a stack of the same form without values, mask or device."""
        population, *padded = self.values.shape
        return Stack(self.shape, self._inside, padded, population, masked=False)

    def window(self, stacked: torch.Tensor) -> torch.Tensor:
        """Return the (population, *shape) view of a tensor like values, without the padding."""
        inside = stacked[(slice(None), *(slice(extent) for extent in self._inside))]
        return inside.view(len(stacked), *self.shape)

    def put(self, number: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        """Set a network's existing weights before training starts, with the mask.

        Args:
            number: which network.
            indices: (connections,) flat positions of the weights; None for all.
            values: (connections,) their values, or (size,).
        """
        self.write(self.values, number, indices, values)
        if self.mask is not None:
            self.window(self.mask)[number][self._place(indices)] = -1

    def put_all(self, values: Sequence[np.ndarray]) -> None:
        """Set all weights of all networks at once before training starts, with the mask.

        Args:
            values: for each network an array of the parameter's shape.
        """
        self.window(self.values.detach()).copy_(torch.from_numpy(np.stack(values)))
        if self.mask is not None:
            self.window(self.mask).fill_(-1)

    def read(self, tensor: torch.Tensor, number: int, indices: np.ndarray | None = None) -> np.ndarray:
        """Return a network's part of a tensor like values.

        Args:
            tensor: values, or a tensor of that form.
            number: which network.
            indices: (connections,) flat positions; by default those that exist.

        Returns:
            A (connections,) copy.
        """
        flat = self.window(tensor.detach())[number].reshape(-1).cpu().numpy()
        if indices is None and self.mask is not None:
            indices = np.flatnonzero(self.window(self.mask)[number].reshape(-1).cpu().numpy())
        return flat.copy() if indices is None else flat[indices]

    def write(self, tensor: torch.Tensor, number: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        """Set a network's part of a tensor like values.

        Args:
            tensor: values, or a tensor of that form.
            number: which network.
            indices: (connections,) flat positions; None for all.
            values: (connections,) what to put there, or (size,).
        """
        new = torch.as_tensor(values).view(self.shape if indices is None else -1)
        self.window(tensor.detach())[number][self._place(indices)] = new.to(tensor.device)

    def expand(self, tensor: torch.Tensor, number: int) -> torch.Tensor:
        """Return a network's part of a tensor like values as an array of the parameter's shape."""
        return self.window(tensor.detach())[number]

    def to(self, device: torch.device) -> None:
        """Move to the device, and make the values a leaf that gradients flow to, with a gradient to be written."""
        self.values = self.values.to(device).requires_grad_()
        self.values.grad = torch.zeros_like(self.values)
        self.mask = None if self.mask is None else self.mask.to(device)

    def current(self) -> torch.Tensor:
        """Return the values that the network computes with."""
        return self.values if self.frozen is None else self.values + self.frozen

    @torch.no_grad()
    def clear(self, stacked: torch.Tensor) -> None:
        """Make a tensor like values zero wherever no weight exists."""
        if self.mask is not None:
            # Unlike a product with zero, this clears NaN too and leaves no negative zero.
            stacked.view(torch.int32).bitwise_and_(self.mask)

    @torch.no_grad()
    def limit(self, norm: float) -> None:
        """Scale the weights into each unit down to a norm where theirs is greater."""
        rows = self.window(self.values.detach()).flatten(2)
        rows *= (norm / rows.norm(dim=2, keepdim=True).clamp(min=norm)).to(rows.dtype)

    def spread(self, factors: np.ndarray) -> torch.Tensor:
        """Return (population,) float32 factors in a form that broadcasts with values."""
        return torch.from_numpy(factors).view(-1, *[1] * (self.values.ndim - 1))

    def masked(self, indices: Sequence[np.ndarray | None]) -> torch.Tensor:
        """Return the mask of other weights.

        Args:
            indices: for each network, the flat positions that exist; None for all.
        """
        assert self.mask is not None
        mask = torch.zeros(self.mask.shape, dtype=torch.int32)
        for number, kept in enumerate(indices):
            self.window(mask)[number][self._place(kept)] = -1
        return mask.to(self.mask.device)

    @torch.no_grad()
    def freeze(self, constant: torch.Tensor, removed: torch.Tensor) -> None:
        """Let removed weights go on contributing a constant that is never trained.

        Args:
            constant: tensor like values.
            removed: mask of the weights that contribute it from now on.
        """
        kept = constant.to(self.values.device).view(torch.int32).bitwise_and(removed).view(torch.float32)
        self.frozen = kept if self.frozen is None else self.frozen + kept

    def _place(self, indices: np.ndarray | None) -> tuple[torch.Tensor, ...] | EllipsisType:
        if indices is None:
            return ...
        return tuple(torch.from_numpy(part) for part in np.unravel_index(indices, self.shape))


class PackedStack:
    """The weights of one layer that exist, of all networks in one array, as a pattern orders them.

    Args:
        shape: of the layer's weights in one network when dense.
        pattern: which of them exist.

    Attributes:
        values: (size,) leaf tensor that an optimizer updates; its gradient is in ``values.grad``.
    """

    mask = None
    frozen = None

    def __init__(self, shape: Sequence[int], pattern: Pattern) -> None:
        self.shape = tuple(shape)
        self.values = torch.zeros(pattern.size)
        self._pattern = pattern

    def put(self, number: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        """Set a network's existing weights before training starts (see `Stack`); the pattern knows their indices."""
        self.write(self.values, number, indices, values)

    def read(self, tensor: torch.Tensor, number: int, indices: np.ndarray | None = None) -> np.ndarray:
        """Return a network's part of a tensor like values (see `Stack`)."""
        own = tensor.detach()[self._pattern.span(number)].cpu().numpy()
        return own.copy() if indices is None else own[np.searchsorted(self._pattern.indices(number), indices)]

    def write(self, tensor: torch.Tensor, number: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        """Set a network's part of a tensor like values, at all its indices in order (see `Stack`)."""
        tensor.detach()[self._pattern.span(number)] = torch.as_tensor(values)

    def spread(self, factors: np.ndarray) -> torch.Tensor:
        """Return (population,) float32 factors in a form that broadcasts with values."""
        spread = torch.ones(self.values.shape)
        for number, factor in enumerate(factors):
            spread[self._pattern.span(number)] = float(factor)
        return spread

    def expand(self, tensor: torch.Tensor, number: int) -> torch.Tensor:
        """Return a network's part of a tensor like values as a dense array of the layer's shape."""
        dense = np.zeros(self.shape, np.float32)
        dense.reshape(-1)[self._pattern.indices(number)] = self.read(tensor, number)
        return torch.from_numpy(dense)

    def to(self, device: torch.device) -> None:
        """Move to the device, and make the values a leaf with a gradient to be written."""
        self.values = self.values.to(device).requires_grad_()
        self.values.grad = torch.zeros_like(self.values)

    def current(self) -> torch.Tensor:
        """Return the values that the network computes with."""
        return self.values

    def clear(self, stacked: torch.Tensor) -> None:
        """Do nothing: there is no place for a weight that does not exist."""


def initialise(
    stacks: Mapping[str, Stack | PackedStack],
    network: Network,
    connections: Sequence[Connections],
    seeds: Sequence[Seeds],
    spec: InitialisationSpec,
    device: torch.device,
) -> None:
    """Give empty stacks their masks and initial values, and move them to the device.

    Args:
        stacks: by name, one for each trained parameter of the network.
        network: the architecture.
        connections: of each network.
        seeds: of each network.
        spec: how weights are drawn.
        device: where to compute.
    """
    own = [seed.weights for seed in seeds]
    if spec.weights == "module":
        _initialise_by_modules(stacks, network, connections, own, spec)
        for stack in stacks.values():
            stack.to(device)
        return
    for index, layer in enumerate(network.layers):
        existing = [every[index] for every in connections]
        for number, values in initial_weights(network, index, existing, own, spec):
            stacks[layer.parameter].put(number, existing[number], values)
    for name, number, values in initial_unmasked(network, own, spec):
        stacks[name].put(number, None, values)
    for stack in stacks.values():
        stack.to(device)


def _initialise_by_modules(
    stacks: Mapping[str, Stack | PackedStack],
    network: Network,
    connections: Sequence[Connections],
    seeds: Sequence[int],
    spec: InitialisationSpec,
) -> None:
    """Give stacks the values that torch's modules give themselves, building each seed's module once."""
    if any(existing is not None for own in connections for existing in own):
        for name, number, existing, values in module_values(network, connections, seeds, spec):
            stacks[name].put(number, existing, values)
        return
    distinct = list(dict.fromkeys(seeds))
    drawn = dict(zip(distinct, network.module_values(distinct), strict=True))
    for name, stack in stacks.items():
        if isinstance(stack, Stack):
            stack.put_all([drawn[seed][name] for seed in seeds])
        else:
            for number, seed in enumerate(seeds):
                stack.put(number, None, drawn[seed][name].ravel())
