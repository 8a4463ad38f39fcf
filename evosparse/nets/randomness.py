"""The seeds of one network, and the keyed generators drawn from them.

Every draw has its own key (seed, purpose, number), so none depends on what was drawn before or on other networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """What a network's randomness comes from; each seed is an integer from 0, of any size up to 64 bits.

    Args:
        weights: the initial weights.
        order: the order of the training examples.
        noise: dropout.
    """

    weights: int
    order: int
    noise: int


class Purpose(IntEnum):
    """What a draw is for; keeps draws apart when a caller gives the same integer for all seeds."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2
    MODULE = 3
    INPUT_NOISE = 4
    SAMPLING = 5
    PRIVACY = 6
    CARRIERS = 7
    SUPPORT = 8


def generator(seed: int, purpose: Purpose, number: int) -> np.random.Generator:
    """Return the PCG64 generator of one draw, the same in every process.

    Args:
        seed: one of the network's seeds.
        purpose: what is drawn.
        number: the layer, epoch or step it is drawn for.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(purpose, number))))


def torch_seed(seed: int, purpose: Purpose, number: int) -> int:
    """Return a 63-bit seed for torch's own generators, for the draws that only a torch module can make."""
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
