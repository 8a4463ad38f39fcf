"""Sparse evolutionary training: Mocanu et al., Nature Communications 9 (2018); Curci et al., arXiv 2102.01732."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import model_validator

from evosparse.sparsify.base import method
from evosparse.sparsify.budget import best
from evosparse.sparsify.dynamic import Dynamic, Exchange, initial_like
from evosparse.sparsify.importance import Importance


@method
class SET(Dynamic):
    """After each epoch the weights nearest zero are dropped, and as many grow at random, drawn as initial ones are.

    Attributes:
        drop_rule: ``signed``, the same share of the positive weights and of the negative ones (published); or
            ``magnitude``.
        importance: when and how unimportant units are removed, before connections are exchanged; None for never.
    """

    method: Literal["set"] = "set"
    drop_rule: Literal["signed", "magnitude"] = "signed"
    exchange_last: bool = False
    importance: Importance | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> SET:
        if self.importance is not None and (self.every is not None or not self.fraction):
            raise ValueError("importance counts epochs: leave 'every' out, and let 'fraction' be above 0")
        return self

    def update(self, exchange: Exchange, progress: float) -> None:
        if self.importance is not None and self.importance.due(exchange.time + 1):
            self.importance.prune(exchange.cohort)
        super().update(exchange, progress)

    def kept(self, values: np.ndarray, count: int) -> np.ndarray:
        if self.drop_rule == "magnitude":
            return super().kept(values, count)
        # The share of each sign is rounded so that both together are the count.
        positive, others = np.flatnonzero(values > 0), np.flatnonzero(~(values > 0))  # NaN too, which is then refused
        up = min(round(count * len(positive) / len(values)), len(positive))
        up = max(up, count - len(others))
        stay = [
            own[best(np.abs(values[own]), len(own) - dropped)] for own, dropped in ((positive, up), (others, count - up))
        ]
        return np.sort(np.concatenate(stay))

    def values(self, exchange: Exchange, number: int, layer: int, count: int) -> np.ndarray:
        return initial_like(exchange, number, layer, count)
