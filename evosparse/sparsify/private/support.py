"""Where gradients may be other than zero in a step: chosen without a look at the examples, or by noisy updates alone.

What is chosen by the gradient of the step itself would tell of the examples, without noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from evosparse.sparsify.budget import best, random_positions

Support = Mapping[str, torch.Tensor | None]
"""By part of the parameters, sorted flat positions; None for all."""


def support_size(size: int, density: float) -> int:
    """Return how many of so many positions are in a support: at least one."""
    return max(1, round(density * size))


def random_support(size: int, density: float, rng: np.random.Generator) -> torch.Tensor:
    """Draw a support, each one of that size equally likely.

    Args:
        size: of the part.
        density: share of it that is in the support.
        rng: source of randomness.
    """
    return torch.from_numpy(random_positions(size, support_size(size, density), rng))


def previous_support(previous: torch.Tensor, density: float, carried: float, rng: np.random.Generator) -> torch.Tensor:
    """Take a share of a support where the previous noisy update is greatest, and draw the rest.

    Without the rest a support would never change: the update is zero off it.

    Args:
        previous: the update, of the part's shape.
        density: share of the part that is in the support.
        carried: share of the support that is taken from the update, 0 to 1.
        rng: source of randomness.
    """
    size = previous.numel()
    count = support_size(size, density)
    magnitudes = previous.abs().flatten().cpu().numpy()
    kept = best(magnitudes, min(round(carried * count), int(np.count_nonzero(magnitudes))))
    others = np.delete(np.arange(size), kept)
    drawn = others[random_positions(len(others), count - len(kept), rng)]
    return torch.from_numpy(np.sort(np.concatenate([kept, drawn])))
