"""What several tasks share: results of a whole batch, seeds of episodes, and the choice among actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evosparse.engine.seeds import SeedKey
from evosparse.engine.streams import integers


def measures_of(arrays: Mapping[str, NDArray]) -> list[dict[str, float]]:
    """Return the measures of each network.

    Args:
        arrays: (networks,) of each measure.
    """
    columns = [array.astype(float).tolist() for array in arrays.values()]
    return [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]


def episode_seeds(keys: Sequence[SeedKey], purpose: str, episodes: int) -> list[list[int]]:
    """Return the seed of each episode of each network, in [0, 2**31): what any environment takes.

    Args:
        keys: of the networks.
        purpose: of the episodes.
        episodes: of each network.
    """
    numbers = integers([key.child(purpose, episode) for key in keys for episode in range(episodes)])
    return [[number >> 32 for number in numbers[start : start + episodes]] for start in range(0, len(numbers), episodes)]


@njit(cache=True)
def highest(values: NDArray[np.float64]) -> int:
    """Return the place of the highest value, the lowest place of equal ones; nothing is above what is no number."""
    best = 0
    for place in range(1, len(values)):
        if values[place] > values[best]:
            best = place
    return best
