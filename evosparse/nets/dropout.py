"""Which activations are dropped in a training step: the same ones whatever kernel trains the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from evosparse.nets.kernel import padded
from evosparse.nets.randomness import Purpose, generator, torch_seed


def perceptron_dropout(
    noise: Sequence[int], widths: Sequence[int], probability: float, step: int, batch: int
) -> list[torch.Tensor]:
    """Draw the factor of each hidden activation: 0, or 1 / (1 - probability).

    Args:
        noise: seeds.
        widths: units of each hidden layer.
        probability: of dropping.
        step: number of the training step.
        batch: examples of the minibatch.

    Returns:
        For each hidden layer, (seeds, batch, padded width).
    """
    generators = [generator(seed, Purpose.NOISE, step) for seed in noise]
    factors = []
    for width in widths:
        uniform = np.empty((len(generators), batch, padded(width)), np.float32)
        for own, rng in zip(uniform, generators, strict=True):
            rng.random(out=own, dtype=np.float32)
        factors.append((torch.from_numpy(uniform) >= probability) / (1 - probability))
    return factors


def module_dropout(
    noise: Sequence[int], shapes: Sequence[Sequence[int]], probabilities: Sequence[float], step: int, batch: int
) -> list[torch.Tensor]:
    """Draw the factors that a module's `nn.Dropout` layers would draw one after the other on the CPU.

    Args:
        noise: seeds.
        shapes: of an example at each layer.
        probabilities: of dropping, at each layer.
        step: number of the training step.
        batch: examples of the minibatch.

    Returns:
        For each layer, (seeds, batch, *shape).
    """
    factors = [torch.empty(len(noise), batch, *shape) for shape in shapes]
    for number, seed in enumerate(noise):
        rng = torch.Generator().manual_seed(torch_seed(seed, Purpose.NOISE, step))
        for factor, probability in zip(factors, probabilities, strict=True):
            if 0 < probability < 1:  # where nothing or all is dropped, torch draws nothing
                factor[number].bernoulli_(1 - probability, generator=rng).div_(1 - probability)
            else:
                factor[number] = 1 - probability
    return factors


def drop_inputs(
    x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, noise: Sequence[int], probability: float, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gather a minibatch and drop a share of its inputs, each network's own; the others are scaled to keep the mean.

    Args:
        x: (n, *input_shape) examples.
        y: (n, ...) their labels.
        rows: (batch,) or (population, batch) rows of the minibatch.
        noise: seeds, (population,) or one for all.
        probability: of dropping.
        step: number of the training step.

    Returns:
        Examples, labels and rows of them in place of those given: the networks' minibatches one after the other.
    """
    batch, networks = rows.shape[-1], max(len(noise), len(rows) if rows.ndim == 2 else 1)
    uniform = np.empty((len(noise), batch, *x.shape[1:]), np.float32)
    for own, seed in zip(uniform, noise, strict=True):
        generator(seed, Purpose.INPUT_NOISE, step).random(out=own, dtype=np.float32)
    kept = (torch.from_numpy(uniform) >= probability).to(x.device)
    dropped = (x[rows] * kept / (1 - probability)).expand(networks, batch, *x.shape[1:])
    labels = y[rows].expand(networks, batch, *y.shape[1:])
    own_rows = torch.arange(networks * batch, device=x.device).view(networks, batch)
    return dropped.flatten(0, 1), labels.flatten(0, 1), own_rows if networks > 1 else own_rows[0]
