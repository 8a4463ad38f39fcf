"""The kernel for sparse networks: of every layer, only existing weights are stored, updated and multiplied with.

Activations have the batch innermost, so that one weight meets a whole minibatch in contiguous memory. Networks are
worked on in blocks whose activations stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import pad

from evosparse.nets.architectures import Connections, MultilayerPerceptron, Network
from evosparse.nets.dropout import module_dropout, perceptron_dropout
from evosparse.nets.kernel import Fill, only_if_equal, padded
from evosparse.nets.losses import LossName, total_loss
from evosparse.nets.pattern import Pattern
from evosparse.nets.plan import Dropout, Elementwise, Pooling, Weighted, expect_places_for_dropout
from evosparse.nets.products import MakeProducts, Products
from evosparse.nets.randomness import Seeds
from evosparse.nets.stack import PackedStack, Stack

_BLOCK = 4 * 2**20  # bytes of activations that a block of networks may have
_TILE = 128  # examples that are evaluated together


class PackedKernel:
    """Networks as sparse matrices.

    Args:
        network: the architecture; one with a plan.
        connections: of each network.
        seeds: of each network.
        fill: gives the stacks their values.
        dropout: probability of dropping an activation where the network has dropout layers; 0 leaves them as they are.
        products: what multiplies.
        loss: what training minimises.

    Raises:
        SpecError: dropout is asked of a network without dropout layers.
    """

    def __init__(
        self,
        network: Network,
        connections: Sequence[Connections],
        seeds: Sequence[Seeds],
        fill: Fill,
        dropout: float,
        products: MakeProducts,
        loss: LossName = "cross_entropy",
    ) -> None:
        self._loss = loss
        assert network.plan is not None
        self._network = network
        self._population = len(seeds)
        self._noise = only_if_equal([seed.noise for seed in seeds])
        self._places = [step for step in network.plan if isinstance(step, Dropout)]
        if dropout and not isinstance(network, MultilayerPerceptron):
            expect_places_for_dropout(self._places, dropout)
        self._dropout = [dropout or place.probability for place in self._places]
        self.stacks: dict[str, Stack | PackedStack] = {}
        self._products: dict[str, Products] = {}
        layers = {layer.name: index for index, layer in enumerate(network.layers)}
        for step in network.plan:
            if isinstance(step, Weighted):
                index = layers[step.name]
                pattern = Pattern(step.geometry, [own[index] for own in connections])
                self.stacks[network.layers[index].parameter] = PackedStack(network.layers[index].shape, pattern)
                self._products[step.name] = products(pattern)
        for name, shape in network.unmasked.items():
            size = math.prod(shape)
            self.stacks[name] = Stack(shape, (size,), (padded(size),), len(seeds), masked=False)
        fill(self.stacks)

    def backward(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> None:
        """Set the gradient of every stack (see `Kernel`)."""
        batch = rows.shape[-1]
        factors = self._draw_dropout(step, batch, x.device)
        shared = _arranged(x[rows], self._network.input_shape) if rows.ndim == 1 else None
        for networks in self._blocks(padded(batch)):
            own = rows if shared is not None else rows[networks.start : networks.stop]
            inputs = _arranged(x[own], self._network.input_shape) if shared is None else shared
            logits = self._forward(inputs, networks, factors)
            if self._loss != "cross_entropy":
                total_loss(self._loss, logits[:, :, :batch].transpose(1, 2), y[own]).backward()
                continue
            # The gradient of each network's mean cross-entropy, and none for the examples that only pad.
            error = torch.softmax(logits.detach(), dim=1)
            labels = y[own].expand(len(networks), batch)[:, None]
            error[:, :, :batch].scatter_add_(1, labels, torch.full(labels.shape, -1.0, device=x.device))
            error[:, :, batch:] = 0
            logits.backward(error / batch)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (population, batch, classes) logits of a batch (see `Kernel`)."""
        out = torch.empty(self._population, len(x), self._network.classes, device=x.device)
        with torch.no_grad():
            for start in range(0, len(x), _TILE):
                tile = x[start : start + _TILE]
                inputs = _arranged(tile, self._network.input_shape)
                for networks in self._blocks(inputs.shape[-1]):
                    logits = self._forward(inputs, networks, None)
                    own = slice(networks.start, networks.stop)
                    out[own, start : start + _TILE] = logits[:, :, : len(tile)].transpose(1, 2)
        return out

    def buffers(self, number: int) -> Mapping[str, torch.Tensor]:
        """Return nothing: no step has buffers."""
        return {}

    def _forward(self, hidden: torch.Tensor, networks: range, factors: Sequence[torch.Tensor] | None) -> torch.Tensor:
        """Return the (networks, classes, batch) logits of (networks or 1, positions, batch) inputs."""
        drawn = iter(factors or ())
        for step in self._network.plan:
            match step:
                case Weighted():
                    weight, bias = self.stacks[f"{step.name}.weight"], self.stacks.get(f"{step.name}.bias")
                    hidden = _padded(hidden, step)
                    hidden = _Product.apply(
                        hidden,
                        weight.values,
                        None if bias is None else bias.values,
                        self._products[step.name],
                        step.rectified,
                        networks,
                    )
                case Elementwise():
                    hidden = step.module(hidden)
                case Pooling():
                    hidden = _pooled(hidden, step)
                case Dropout() if factors:
                    factor = next(drawn)
                    hidden = hidden * (factor if len(factor) == 1 else factor[networks.start : networks.stop])
        return hidden

    def _blocks(self, batch: int) -> Iterator[range]:
        """Part the population, by a rule that knows nothing but the architecture and the size of the batch."""
        size = max(1, _BLOCK // (4 * batch * self._network.activations))
        for start in range(0, self._population, size):
            yield range(start, min(start + size, self._population))

    def _draw_dropout(self, step: int, batch: int, device: torch.device) -> list[torch.Tensor]:
        """Return a factor for each activation at each place for dropout, (networks or 1, positions, batch)."""
        if not any(self._dropout):
            return []
        shapes = [place.shape for place in self._places]
        if isinstance(self._network, MultilayerPerceptron):
            widths = self._network.widths[1:-1]
            drawn = perceptron_dropout(self._noise, widths, self._dropout[0], step, batch)
        else:
            drawn = module_dropout(self._noise, shapes, self._dropout, step, batch)
        return [
            pad(factor.flatten(2)[:, :, : math.prod(shape)].transpose(1, 2), (0, padded(batch) - batch)).to(device)
            for factor, shape in zip(drawn, shapes, strict=True)
        ]


class _Product(torch.autograd.Function):
    """A layer of some networks; it writes the gradients of its weights where the optimizer looks for them."""

    @staticmethod
    def forward(
        context: FunctionCtx,
        x: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None,
        products: Products,
        rectified: bool,
        networks: range,
    ) -> torch.Tensor:
        out = products.forward(values.detach(), None if bias is None else bias.detach(), x, rectified, networks)
        context.save_for_backward(x, out if rectified else None)
        context.rest = (values, bias, products, networks)
        return out

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, error: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, out = context.saved_tensors
        values, bias, products, networks = context.rest
        error = error.contiguous()
        products.weight_gradient(x, out, error, values.grad, None if bias is None else bias.grad, networks)
        back = products.input_gradient(values.detach(), error, networks) if context.needs_input_grad[0] else None
        return back, None, None, None, None, None


def _arranged(x: torch.Tensor, input_shape: Sequence[int]) -> torch.Tensor:
    """Turn (batch, *input) or (networks, batch, *input) examples into (networks or 1, positions, padded batch)."""
    flat = x.flatten(x.ndim - len(input_shape))
    flat = flat[None] if flat.ndim == 2 else flat
    out = flat.new_zeros(len(flat), flat.shape[2], padded(flat.shape[1]))
    out[:, :, : flat.shape[1]] = flat.transpose(1, 2)
    return out


def _padded(hidden: torch.Tensor, step: Weighted) -> torch.Tensor:
    """Put the zeros of a convolution around its input."""
    geometry = step.geometry
    if not any(geometry.padding):
        return hidden
    spatial = hidden.view(len(hidden), *geometry.input_shape, hidden.shape[-1])
    widths = [0, 0, *(width for own in reversed(geometry.padding) for width in (own, own))]
    return pad(spatial, widths).flatten(1, -2)


def _pooled(hidden: torch.Tensor, step: Pooling) -> torch.Tensor:
    """Pool with torch's module, to which channels of all networks are examples, and the batch is the channels."""
    channels, *extent = step.input_shape
    batch = hidden.shape[-1]
    pooled = step.module(hidden.reshape(-1, *extent, batch).movedim(-1, 1))
    return pooled.movedim(1, -1).reshape(len(hidden), math.prod(step.output_shape), batch).contiguous()
