"""Structured pruning by sparse recovery: Wolfe and Kyrillidis, "i-SpaSP", L4DC 2022, arXiv 2112.04905."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from evosparse.nets import Network
from evosparse.nets.device import configured
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.budget import best
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.units import Units, expect_chain, expect_units, inputs_of_unit, weights_between, without

Read = Callable[[torch.Tensor], torch.Tensor]


@method
class ISpaSP(Sparsifier):
    """Hidden units are chosen such that what the next layer is told by them alone is as it was (algorithm 1).

        H = what the next layer reads, U = W H what it makes of it;  I = {}, V = U
        repeat: Y = W^T V; Omega = the 2s units of greatest importance, and I; I = the s of Omega of greatest sum of H
                V = U - W[:, I] H[I]

    Importance is the sum of a unit's Y over examples and positions. Layer after layer, on what is left of those before;
    after each the network is tuned. The residual says little of the accuracy: where s is half of the units or more it is a choice by the
    greatest activity, and at the cut random units may serve better.

    Attributes:
        importance: the sum of Y with its sign, or its magnitude (``abs``).
        first_residual: V begins with what the layer makes of H, ``without`` its bias or ``with_bias`` (the published code).
        turns: repetitions at most; they end when I stays the same, which changes nothing.
        examples: training examples for H.
        layer_epochs: of tuning after each layer; another whole training follows.
        retrain_rate: factor of the learning rate in all tuning.

    Each hidden layer keeps the same share of its units, the greatest with no more weights than the sparsity allows.
    """

    method: Literal["i_spasp"] = "i_spasp"
    importance: Literal["signed", "abs"] = "signed"
    first_residual: Literal["without", "with_bias"] = "without"
    turns: int = Field(20, ge=1)
    examples: int = Field(1280, ge=1)
    layer_epochs: int = Field(1, ge=0)
    retrain_rate: float = Field(1.0, gt=0)

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        expect_chain(network, self.method)
        expect_units(network, sparsity, self.method)

    def sparsify(self, cohort: Cohort) -> None:
        """Train dense networks, choose units layer by layer, and tune."""
        layers = cohort.network.layers
        cohort.begin(cohort.dense, cohort.epochs)
        cohort.advance(cohort.epochs)
        tuning = cohort.training.model_copy(update={"learning_rate": cohort.training.learning_rate * self.retrain_rate})
        connections = cohort.connections
        kept = [unit_counts(cohort.network, round((1 - own.sparsity) * cohort.size)) for own in cohort.replicates]
        for index in range(len(layers) - 1):
            states = [cohort.population.state(number) for number in range(len(cohort))]
            for number, state in enumerate(states):
                chosen = self._chosen(cohort, number, state, index, kept[number][index])
                doomed = [
                    ~chosen if place == index else np.zeros(layer.shape[0], bool)
                    for place, layer in enumerate(layers[:-1])
                ]
                connections[number] = without(layers, connections[number], doomed)
            last = index == len(layers) - 2
            cohort.begin(connections, self.layer_epochs, tuning, states=states)
            cohort.advance(0 if last and cohort.masks_alone else self.layer_epochs)
        states = [cohort.population.state(number) for number in range(len(cohort))]
        cohort.allowed = connections
        cohort.begin(connections, cohort.epochs, tuning, states=states)
        cohort.advance(0 if cohort.masks_alone else cohort.epochs, final=True)

    def _chosen(self, cohort: Cohort, number: int, state: State, index: int, count: int) -> Units:
        x, _ = cohort.sample(number, self.examples, index)
        cohort.charge_sparse([number], len(x), 1 + 2 * self.turns)
        hidden, read, bias = reading(cohort.network, state, x, index)
        first = bias if self.first_residual == "with_bias" else None
        return recovered(hidden, read, count, self.importance, self.turns, first)[0]


@configured()
def reading(
    network: Network, state: State, x: np.ndarray, index: int
) -> tuple[torch.Tensor, Read, torch.Tensor | None]:
    """Return what is read of a hidden layer, what reads it, and the reader's bias.

    Args:
        network: a chain of layers.
        state: of the network.
        x: (n, *input_shape) examples.
        index: of the hidden layer.

    Returns:
        (n, units, places) activities, a linear function of them without bias, and what the bias adds to its outputs.
    """
    module, layer = network.module().eval(), network.layers[index + 1]
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    caught: list[torch.Tensor] = []
    reader = module.get_submodule(layer.name)
    hook = reader.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    with torch.no_grad():
        functional_call(module, tensors, (torch.from_numpy(np.array(x)),))
    hook.remove()
    hidden, weight = caught[0], tensors[layer.parameter]
    if isinstance(reader, nn.Linear):  # constants are no units
        units = network.layers[index].shape[0]
        own_inputs = units * inputs_of_unit(layer, units)
        hidden, weight = hidden[:, :own_inputs], weight[:, :own_inputs]
    shape = hidden.shape[1:]

    def read(activities: torch.Tensor) -> torch.Tensor:
        inputs = activities.reshape(-1, *shape)
        if isinstance(reader, nn.Linear):
            return functional.linear(inputs, weight)
        return reader._conv_forward(inputs, weight, None)

    own = tensors.get(f"{layer.name}.bias")
    bias = None if own is None else own.view(1, -1, *[1] * (read(hidden[:1]).ndim - 2))
    return hidden.reshape(len(x), network.layers[index].shape[0], -1), read, bias


@configured()
def recovered(
    hidden: torch.Tensor,
    read: Read,
    count: int,
    importance: str = "signed",
    turns: int = 20,
    bias: torch.Tensor | None = None,
) -> tuple[Units, float]:
    """Choose units of which alone the reader makes what it made of all.

    Args:
        hidden: (n, units, places) activities.
        read: a linear function of them.
        count: how many units.
        importance: ``signed`` or ``abs``.
        turns: repetitions at most.
        bias: added to the first residual.

    Returns:
        (units,) which are chosen, and the residual, as a share of what is read of all.
    """
    whole = read(hidden)
    residual = whole if bias is None else whole + bias
    activity = hidden.sum(dim=(0, 2), dtype=torch.float64).numpy()
    chosen = np.zeros(hidden.shape[1], bool)
    for _ in range(turns):
        wanted = hidden.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(read(wanted), wanted, residual)
        sums = slopes.sum(dim=(0, 2), dtype=torch.float64)
        candidates = chosen.copy()
        candidates[best((sums.abs() if importance == "abs" else sums).numpy(), 2 * count)] = True
        places = np.flatnonzero(candidates)
        before, chosen = chosen, np.zeros_like(chosen)
        chosen[places[best(activity[places], count)]] = True
        residual = whole - read(hidden * torch.from_numpy(chosen)[None, :, None])
        if (before == chosen).all():
            break
    return chosen, share(residual, whole)


def share(residual: torch.Tensor, whole: torch.Tensor) -> float:
    """Return the squared norm of a residual as a share of that of the whole."""
    total = float(whole.square().sum())
    return float(residual.square().sum()) / total if total else 0.0


def unit_counts(network: Network, budget: int) -> list[int]:
    """Return how many units each hidden layer keeps: at equal shares, no more weights than the budget, one at least."""
    sizes = [layer.shape[0] for layer in network.layers[:-1]]

    def counts(share: float) -> list[int]:
        return [max(1, int(share * size + 1e-9)) for size in sizes]

    shares = sorted({count / size for size in sizes for count in range(1, size + 1)})
    fitting = [
        own
        for own in shares
        if weights_between(network, [_first(size, count) for size, count in zip(sizes, counts(own))]) <= budget
    ]
    return counts(max(fitting, default=0.0))


def _first(size: int, count: int) -> np.ndarray:
    return np.arange(size) < count
