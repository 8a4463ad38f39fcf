"""The fast kernel for multilayer perceptrons: each layer of all networks is one batched matrix product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from evosparse.nets.architectures import Connections, Layer, MultilayerPerceptron
from evosparse.nets.dropout import perceptron_dropout
from evosparse.nets.kernel import Fill, only_if_equal, padded
from evosparse.nets.losses import LossName, total_loss
from evosparse.nets.modules import hidden_activations
from evosparse.nets.randomness import Seeds
from evosparse.nets.slots import Activations
from evosparse.nets.stack import Stack


class PerceptronKernel:
    """Networks as stacked matrices, every width padded by units that do not exist (see `kernel.LANES`).

    Args:
        network: the architecture.
        connections: of each network.
        seeds: of each network.
        fill: gives the stacks their values.
        dropout: probability of dropping a hidden activation.
        low_precision: multiply in bfloat16.
        activations: of each network, in place of the architecture's.
        loss: what training minimises.
    """

    def __init__(
        self,
        network: MultilayerPerceptron,
        connections: Sequence[Connections],
        seeds: Sequence[Seeds],
        fill: Fill,
        dropout: float,
        low_precision: bool,
        activations: Activations | None = None,
        loss: LossName = "cross_entropy",
    ) -> None:
        self._network = network
        self._loss_name = loss
        self._population = len(seeds)
        self._noise = only_if_equal([seed.noise for seed in seeds])
        self._dropout = dropout
        self._product = _LowPrecisionLinear if low_precision else _StackedLinear
        self._activations = hidden_activations(network.activation, len(network.widths) - 2, network.slope)
        self._own = activations
        self._weights: list[Stack] = []
        self._biases: list[Stack] = []
        self.stacks: dict[str, Stack] = {}
        for layer in network.layers:
            self._add(layer)
        fill(self.stacks)

    def backward(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> None:
        """Set the gradient of every stack (see `Kernel`)."""
        dropouts = self._draw_dropout(step, rows.shape[-1]) if self._dropout else None
        if self._own is None:
            self._loss(self._forward(x[rows], dropouts), y[rows]).backward()
            return
        with torch.no_grad():
            self._backward_by_derivatives(x[rows], y[rows], dropouts, step)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (population, batch, classes) logits of a batch (see `Kernel`)."""
        with torch.no_grad():
            return self._forward(x, None)[:, :, : self._network.classes]

    def buffers(self, number: int) -> Mapping[str, torch.Tensor]:
        """Return nothing: perceptrons have no buffers."""
        return {}

    def _add(self, layer: Layer) -> None:
        """Make the stacks of a layer."""
        n_out, n_in = layer.shape
        weight = Stack(layer.shape, layer.shape, (padded(n_out), padded(n_in)), self._population, masked=True)
        bias = Stack((n_out,), (1, n_out), (1, padded(n_out)), self._population, masked=False)
        self.stacks |= {layer.parameter: weight, f"{layer.name}.bias": bias}
        self._weights.append(weight)
        self._biases.append(bias)

    def _forward(self, x: torch.Tensor, dropouts: Sequence[torch.Tensor] | None) -> torch.Tensor:
        hidden = self._inputs(x)
        for layer in range(len(self._weights)):
            if layer:
                hidden = self._activate(layer - 1, hidden)
                if dropouts is not None:
                    hidden = hidden * dropouts[layer - 1]
            hidden = self._product.apply(hidden, *self._parameters(layer))
        return hidden

    def _backward_by_derivatives(
        self, x: torch.Tensor, y: torch.Tensor, dropouts: Sequence[torch.Tensor] | None, step: int
    ) -> None:
        """Go forward and back layer by layer: functions bring their derivatives, and a graph costs a tenth of the time."""
        hidden = self._inputs(x)
        tapes, slopes = [_Tape(needs_input_grad=(layer > 0,)) for layer in range(len(self._weights))], []
        for layer, tape in enumerate(tapes):
            if layer:
                hidden = self._existing(layer - 1, hidden)
                hidden, slope = self._own.differentiate(layer - 1, hidden, slice(0, self._population), step)
                if dropouts is not None:
                    hidden, slope = hidden * dropouts[layer - 1], slope * dropouts[layer - 1]
                slopes.append(slope)
            hidden = self._product.forward(tape, hidden, *self._parameters(layer))
        with torch.enable_grad():
            hidden = hidden.detach().requires_grad_()
            self._loss(hidden, y).backward()
        error = hidden.grad
        for layer in reversed(range(len(tapes))):
            error = self._product.backward(tapes[layer], error)[0]
            if layer:
                error = error.mul_(slopes[layer - 1])

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        features = self._network.widths[0]
        x = x.flatten(x.ndim - len(self._network.input_shape))
        return functional.pad(x, (0, padded(features) - features)).expand(self._population, -1, -1)

    def _parameters(self, layer: int) -> tuple[torch.Tensor, ...]:
        weight, bias = self._weights[layer], self._biases[layer]
        return weight.current(), bias.values, weight.values.grad, bias.values.grad

    def _activate(self, place: int, hidden: torch.Tensor) -> torch.Tensor:
        if self._own is None:
            return self._activations[place](hidden)
        return self._own.apply(place, self._existing(place, hidden), slice(0, self._population), None)

    def _existing(self, place: int, hidden: torch.Tensor) -> torch.Tensor:
        """Give units that do not exist the first one's numbers, not zero: a user's function may be infinite there."""
        width = self._network.widths[place + 1]
        if width < hidden.shape[2]:
            hidden[:, :, width:] = hidden[:, :, :1]
        return hidden

    def _loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the sum over networks of the mean loss over the minibatch."""
        return total_loss(self._loss_name, logits[:, :, : self._network.classes], y)

    def _draw_dropout(self, step: int, batch: int) -> list[torch.Tensor]:
        """Draw 0 or 1 / (1 - dropout) for each hidden activation: (population or 1, batch, padded width) per layer."""
        drawn = perceptron_dropout(self._noise, self._network.widths[1:-1], self._dropout, step, batch)
        return [factor.to(self._biases[0].values.device) for factor in drawn]


@dataclass
class _Tape:
    """What a linear layer keeps on its way forward, where no graph does."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[torch.Tensor, ...] = ()
    gradients: tuple[torch.Tensor, ...] = ()

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        self.saved_tensors = tensors


class _StackedLinear(torch.autograd.Function):
    """A linear layer of all networks that writes its gradients into memory that is there already.

    Plain autograd would allocate, transpose and copy a tensor of the size of all weights at each step: a quarter of the
    time of training LeNet-300-100.
    """

    @staticmethod
    def forward(
        context: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        weight_gradient: torch.Tensor,
        bias_gradient: torch.Tensor,
    ) -> torch.Tensor:
        context.save_for_backward(x, weight)
        context.gradients = (weight_gradient, bias_gradient)
        return torch.baddbmm(bias, x, weight.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, error: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = context.saved_tensors
        weight_gradient, bias_gradient = context.gradients
        torch.bmm(error.transpose(1, 2), x, out=weight_gradient)
        torch.sum(error, dim=1, keepdim=True, out=bias_gradient)
        return (torch.bmm(error, weight) if context.needs_input_grad[0] else None, None, None, None, None)


class _LowPrecisionLinear(torch.autograd.Function):
    """The same with products of bfloat16; what is added and what is kept is float32."""

    @staticmethod
    def forward(
        context: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        weight_gradient: torch.Tensor,
        bias_gradient: torch.Tensor,
    ) -> torch.Tensor:
        x, weight = x.bfloat16(), weight.bfloat16()
        context.save_for_backward(x, weight)
        context.gradients = (weight_gradient, bias_gradient)
        return torch.bmm(x, weight.transpose(1, 2)).float() + bias

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, error: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = context.saved_tensors
        weight_gradient, bias_gradient = context.gradients
        torch.sum(error, dim=1, keepdim=True, out=bias_gradient)
        error = error.bfloat16()
        weight_gradient.copy_(torch.bmm(error.transpose(1, 2), x))
        back = torch.bmm(error, weight).float() if context.needs_input_grad[0] else None
        return back, None, None, None, None
