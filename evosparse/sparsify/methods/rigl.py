"""Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020, arXiv 1911.11134."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from evosparse.nets.sensitivity import gradients
from evosparse.sparsify.base import method
from evosparse.sparsify.budget import Positions, best
from evosparse.sparsify.dynamic import Dynamic, Exchange


@method
class RigL(Dynamic):
    """The smallest weights are dropped, and connections grow where the dense gradient is largest, from zero.

    Every ``every`` steps the exchange takes the place of the optimizer's step (algorithm 1).

    Attributes:
        grow_batches: minibatches whose gradients are averaged: the present one and further random ones.
    """

    replaces_step: ClassVar[bool] = True

    method: Literal["rigl"] = "rigl"
    every: int | None = Field(100, ge=1)
    annealing: Literal["constant", "cosine"] = "cosine"
    until: float = Field(0.75, gt=0, le=1)
    regrow: Literal["keep", "reinit"] = "keep"
    grow_batches: int = Field(1, ge=1)

    def grown(self, exchange: Exchange, number: int, layer: int, candidates: Positions, count: int) -> Positions:
        slopes = exchange.once(number, lambda: self._gradient(exchange, number))
        return candidates[best(np.abs(slopes[layer][candidates]), count)]

    def _gradient(self, exchange: Exchange, number: int) -> list[np.ndarray]:
        cohort = exchange.cohort
        batches = [exchange.minibatch(number)] if exchange.minibatch is not None else []
        size = cohort.training.batch
        # Paid for as examples of a training step already.
        replaced = sum(len(x) for x, _ in batches) if self.replaces_step else 0
        batches += [
            cohort.sample(number, size, exchange.time, extra) for extra in range(self.grow_batches - len(batches))
        ]
        # Forward, and back to the activations, over existing weights; back to the weights over all of them.
        examples = sum(len(x) for x, _ in batches)
        cohort.charge_dense([number], examples, passes=1)
        cohort.charge_sparse([number], 2 * examples - 3 * replaced)
        state = cohort.population.state(number)
        found = [gradients(cohort.network, state, x, y, cohort.training.loss, training=True) for x, y in batches]
        return [np.mean(parts, axis=0) for parts in zip(*found, strict=True)]
