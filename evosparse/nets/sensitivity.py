"""What a loss says of every weight of a network, existing or not: gradients, and how pruning would change them.

For one network at a time, through its module: these are asked for once in many training steps. All are taken at the
effective weights (zero where none exists), with dropout off; norms use the minibatch where ``training`` is true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from evosparse.nets.architectures import Network
from evosparse.nets.device import configured
from evosparse.nets.losses import LossName, total_loss

State = Mapping[str, np.ndarray]
"""Parameters and buffers of one network by name, as `Population.state` returns them."""


@configured()
def gradients(
    network: Network, state: State, x: np.ndarray, y: np.ndarray, loss: LossName = "cross_entropy", training: bool = False
) -> list[np.ndarray]:
    """Return the gradient of the mean loss by each layer's weights.

    Args:
        network: the architecture.
        state: of the network.
        x: (n, *input_shape) examples.
        y: (n,) classes or (n, outputs) values.
        loss: what is minimised.
        training: whether norms use these examples.

    Returns:
        For each layer, (size,) float32, weights that do not exist included.
    """
    call, weights = _opened(network, state, training)
    value = total_loss(loss, call(torch.from_numpy(x))[None], torch.from_numpy(y))
    return _flat(torch.autograd.grad(value, weights))


@configured()
def gradient_flow(
    network: Network, state: State, x: np.ndarray, y: np.ndarray, loss: LossName = "cross_entropy", temperature: float = 1
) -> list[np.ndarray]:
    """Return H g for each layer's weights, of the Hessian H and the gradient g of the mean loss.

    Args:
        network, state, x, y, loss: as for `gradients`.
        temperature: what outputs are divided by (GraSP, section 4.2 and its code).
    """
    call, weights = _opened(network, state, training=False)
    value = total_loss(loss, call(torch.from_numpy(x))[None] / temperature, torch.from_numpy(y))
    first = torch.autograd.grad(value, weights, create_graph=True)
    product = sum((gradient.detach() * gradient).sum() for gradient in first)
    return _flat(torch.autograd.grad(product, weights))


@configured()
def synaptic_flow(network: Network, state: State) -> list[np.ndarray]:
    """Return dR/dw for each layer's weights: R the sum of outputs for an input of ones at the magnitudes of all parameters.

    In float64, because R grows with the product of all layers.

    Args:
        network: the architecture.
        state: of the network.
    """
    magnitudes = {name: np.abs(np.asarray(value, np.float64)) for name, value in state.items()}
    call, weights = _opened(network, magnitudes, training=False)
    total = call(torch.ones(1, *network.input_shape, dtype=torch.float64)).sum()
    return _flat(torch.autograd.grad(total, weights))


@lru_cache(maxsize=4)
def _template(network: Network) -> nn.Module:
    """Return the module whose steps are taken; its own values are never used. Building it takes as long as a gradient."""
    return network.module()


def _opened(
    network: Network, state: State, training: bool
) -> tuple[Callable[[torch.Tensor], torch.Tensor], list[torch.Tensor]]:
    """Return the network as a function of examples, and the weights of its layers as leaves."""
    module = _template(network).train(training)
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.eval()
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    weights = [tensors[layer.parameter].requires_grad_() for layer in network.layers]
    return lambda x: functional_call(module, tensors, (x,)), weights


def _flat(tensors: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    return [tensor.detach().reshape(-1).numpy() for tensor in tensors]
