"""The random slopes of `rrelu` in training: keyed, so that they depend on the seed, the step and the slot alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from evosparse.activations.primitives import SLOPES

MEAN_SLOPE = sum(SLOPES) / 2
_PURPOSE = 16  # beyond the purposes of `nets.randomness`, with which it shares the seeds


def slopes(seeds: Sequence[int], place: int, shape: Sequence[int], step: int | None) -> torch.Tensor:
    """Draw the slope of the negative side for each number; all uses of ``rrelu`` in one slot and step share the draw.

    Args:
        seeds: of each network.
        place: number of the slot.
        shape: of one network's pre-activations.
        step: number of the training step; None for the one draw of all evaluations.

    Returns:
        (seeds, *shape) tensor on the CPU.
    """
    drawn = np.empty((len(seeds), *shape), np.float32)
    for own, seed in zip(drawn, seeds, strict=True):
        number = 0 if step is None else step + 1
        sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSE, number, place))
        np.random.Generator(np.random.PCG64(sequence)).random(out=own, dtype=np.float32)
    return torch.from_numpy(drawn).mul_(SLOPES[1] - SLOPES[0]).add_(SLOPES[0])
