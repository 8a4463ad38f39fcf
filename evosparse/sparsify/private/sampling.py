"""Which examples are in which minibatch: each drawn by itself, as accounting assumes, or from a shuffled deck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evosparse.nets.randomness import Purpose, generator

SamplingName = Literal["poisson", "shuffle"]


@dataclass(frozen=True)
class Sampling:
    """The minibatches of a training.

    Args:
        name: ``poisson``: each example is in each minibatch with the same probability, whatever else is in it, so that
            sizes vary and may be 0; or ``shuffle``: an epoch goes through all examples once, in an order of its own.
        examples: how many there are.
        batch: examples in a minibatch; expected ones with poisson.
    """

    name: SamplingName
    examples: int
    batch: int

    @property
    def expected(self) -> int:
        """B, the expected size of a minibatch: as asked for, and never more than there are examples."""
        return min(self.batch, self.examples)

    @property
    def rate(self) -> float:
        """q, the probability of an example to be in a minibatch."""
        return self.expected / self.examples

    @property
    def steps(self) -> int:
        """Minibatches of an epoch: of poisson as many as have all examples in expectation, rounded; at least one."""
        if self.name == "shuffle":
            return math.ceil(self.examples / self.expected)
        return max(1, round(self.examples / self.expected))

    def rows(self, seed: int, step: int) -> NDArray[np.int64]:
        """Return the examples of a minibatch.

        Args:
            seed: of the order.
            step: number of the minibatch, counted through all epochs.
        """
        if self.name == "poisson":
            drawn = generator(seed, Purpose.SAMPLING, step).random(self.examples)
            return np.flatnonzero(drawn < self.rate)
        epoch, number = divmod(step, self.steps)
        order = generator(seed, Purpose.ORDER, epoch).permutation(self.examples)
        return order[number * self.expected : (number + 1) * self.expected]

    def divisor(self, rows: NDArray[np.int64]) -> int:
        """Return what the sum over a minibatch is divided by: with poisson always B, as its size is not public."""
        return self.expected if self.name == "poisson" else len(rows)
