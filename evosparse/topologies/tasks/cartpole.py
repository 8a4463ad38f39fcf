"""A compiled twin of Gymnasium's ``CartPole-v1``: the same numbers for the same seed and the same pushes, about a hundred
times as fast, and no Gymnasium needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.engine.streams import uniforms
from evosparse.topologies.phenotype import Networks, activate
from evosparse.topologies.tasks.base import SOLVED, Task
from evosparse.topologies.tasks.shared import episode_seeds, highest, measures_of

ID = "CartPole-v1"
LIMIT = 500  # steps of an episode
SOLVED_AT = 475.0

# In the order and the units of the original, whose sums and products are made in the same order, too.
_GRAVITY = 9.8
_POLE_MASS = 0.1
_MASS = _POLE_MASS + 1.0
_LENGTH = 0.5
_MOMENT = _POLE_MASS * _LENGTH
_PUSH = 10.0
_SECONDS = 0.02
_FALLEN = 12 * 2 * math.pi / 360
_TRACK = 2.4


def starts(seeds: Sequence[int]) -> NDArray[np.float64]:
    """Return the (seeds, 4) states in which the environment starts after ``reset`` with each seed."""
    low, high = -0.05, 0.05
    return low + (high - low) * uniforms([SeedKey(seed) for seed in seeds], 4)


@njit(cache=True)
def push(state: NDArray[np.float64], action: int) -> bool:
    """Make one step of the environment.

    Args:
        state: (4,) position, velocity, angle and angular velocity; changed.
        action: 0 to the left, 1 to the right.

    Returns:
        Whether the cart is off its track, or the pole has fallen.
    """
    x, speed, angle, turn = state[0], state[1], state[2], state[3]
    force = _PUSH if action == 1 else -_PUSH
    cosine, sine = math.cos(angle), math.sin(angle)
    common = (force + _MOMENT * (turn * turn) * sine) / _MASS
    turning = (_GRAVITY * sine - cosine * common) / (_LENGTH * (4.0 / 3.0 - _POLE_MASS * (cosine * cosine) / _MASS))
    speeding = common - _MOMENT * turning * cosine / _MASS
    state[0] = x + _SECONDS * speed
    state[1] = speed + _SECONDS * speeding
    state[2] = angle + _SECONDS * turn
    state[3] = turn + _SECONDS * turning
    return state[0] < -_TRACK or state[0] > _TRACK or state[2] < -_FALLEN or state[2] > _FALLEN


@njit(cache=True, nogil=True)
def episode_lengths(plan, starts, limit):
    """Return the (networks, episodes) steps of each network's episodes, each of which it begins with an empty memory.

    Args:
        plan: the networks.
        starts: (networks, episodes, 4) states.
        limit: steps at most.
    """
    lengths = np.zeros(starts.shape[:2], dtype=np.int64)
    values, state = np.empty((2, plan.widest)), np.empty(4)
    shown, outputs = np.empty(plan.inputs), np.empty(plan.outputs)
    for network in range(len(plan.output)):
        for episode in range(starts.shape[1]):
            values[:] = 0.0
            state[:] = starts[network, episode]
            for _ in range(limit):
                for place in range(4):
                    shown[place] = np.float32(state[place])  # what the original shows
                activate(plan, network, values, shown, outputs)
                lengths[network, episode] += 1
                if push(state, highest(outputs)):
                    break
    return lengths


@dataclass(frozen=True)
class CartPole(Task):
    """A pole is balanced on a cart that is pushed to the left or to the right; fitness is the mean length of episodes.

    The numbers are those of Gymnasium's environment bit for bit where numpy takes its sines from the C library, as it
    does on most processors.

    Args:
        episodes: of each network, each with a start of its own.
        steps: of an episode at most.
        solved_at: mean length from which the task is solved.
        recurrent: whether networks have a memory, which is empty at the start of each episode.
        purpose: of the episodes; those of another purpose have other starts.
    """

    episodes: int = 1
    steps: int = LIMIT
    solved_at: float | None = SOLVED_AT
    recurrent: bool = False
    purpose: str = "episode"

    input_names = ("x", "dx", "angle", "dangle")
    output_names = ("left", "right")

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Run the episodes of each network."""
        rows = episode_seeds(seeds, self.purpose, self.episodes)
        states = starts([seed for row in rows for seed in row]).reshape(len(networks), self.episodes, 4)
        steps = episode_lengths(networks.plan, states, self.steps).sum(axis=1)
        fitness = steps / self.episodes
        solved = {} if self.solved_at is None else {SOLVED: fitness >= self.solved_at}
        return measures_of({"fitness": fitness, **solved, "environment_steps": steps})
