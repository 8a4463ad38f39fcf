"""The family of methods that train sparse from the start and exchange connections on the way.

    draw a random mask with the counts of the distribution
    every so often, in each layer: drop a share of the existing weights, grow as many elsewhere

A method says which weights stay, where others grow, and with what values; static training exchanges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field

from evosparse.nets import Connections, Network
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify.base import Sparsifier
from evosparse.sparsify.budget import Positions, best, free, random_positions
from evosparse.sparsify.cohort import Cohort

T = TypeVar("T")
Minibatch = Callable[[int], tuple[np.ndarray, np.ndarray]]


class Exchange:
    """One time at which connections are exchanged.

    Args:
        cohort: the networks in training.
        time: which time it is, from 0.
        last: whether there is none after it.
        minibatch: gives a network's examples of the present step; None between epochs.
    """

    def __init__(self, cohort: Cohort, time: int, last: bool = False, minibatch: Minibatch | None = None) -> None:
        self.cohort, self.time, self.last, self.minibatch = cohort, time, last, minibatch
        self._found: dict[int, object] = {}

    def rng(self, number: int, layer: int, purpose: str = "places") -> np.random.Generator:
        """Return the generator of a network's layer at this time."""
        return self.cohort.replicates[number].key.child(purpose, self.time, layer).rng()

    def once(self, number: int, make: Callable[[], T]) -> T:
        """Return what a network's layers share, such as its gradients, made when it is first asked for."""
        if number not in self._found:
            self._found[number] = make()
        return self._found[number]


class Dynamic(Sparsifier):
    """Parameters that all of this family share.

    Attributes:
        distribution: of the sparsity over the layers.
        every: training steps between exchanges; None for one after each epoch but the last.
        fraction: share of a layer's weights that is exchanged.
        annealing: ``constant``, or ``cosine``: the fraction falls to zero by half a cosine (RigL, equation 1).
        until: share of the training after which nothing is exchanged any more.
        regrow: whether a connection that was dropped and is grown at the same time ``keep``-s its value and moments, or
            begins anew (``reinit``).
        exchange_last: whether the output layer takes part.
    """

    replaces_step: ClassVar[bool] = False
    """Whether an exchange takes the place of the optimizer's step."""

    distribution: Distribution = Distribution(distribution="er", output_floor=0)
    every: int | None = Field(None, ge=1)
    fraction: float = Field(0.3, ge=0, lt=1)
    annealing: Literal["constant", "cosine"] = "constant"
    until: float = Field(1.0, gt=0, le=1)
    regrow: Literal["keep", "reinit"] = "reinit"
    exchange_last: bool = True

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        counts(network.layers, sparsity, self.distribution)

    def kept(self, values: np.ndarray, count: int) -> np.ndarray:
        """Return the places of the weights that stay, ascending: those of greatest magnitude.

        Args:
            values: (connections,) weights of a layer.
            count: how many are dropped.
        """
        return best(np.abs(values), len(values) - count)

    def grown(self, exchange: Exchange, number: int, layer: int, candidates: Positions, count: int) -> Positions:
        """Return where connections grow: anywhere, at random.

        Args:
            exchange: the occasion.
            number: which network.
            layer: index of the layer.
            candidates: flat indices at which no weight stays, those just dropped among them.
            count: how many are wanted.
        """
        rng = exchange.rng(number, layer)
        return candidates[random_positions(len(candidates), count, rng)]

    def values(self, exchange: Exchange, number: int, layer: int, count: int) -> np.ndarray:
        """Return the values of connections that begin anew: zero."""
        return np.zeros(count, np.float32)

    def counts(self, cohort: Cohort, number: int) -> tuple[int, ...]:
        """Return how many weights each layer of a network has."""
        return counts(cohort.network.layers, cohort.replicates[number].sparsity, self.distribution)

    def start(self, cohort: Cohort) -> list[Connections]:
        """Draw the masks that training begins with."""
        return [
            [
                places[random_positions(len(places), count, replicate.key.child("mask", layer).rng())]
                for layer, (places, count) in enumerate(
                    zip(_allowed(cohort, number), self.counts(cohort, number), strict=True)
                )
            ]
            for number, replicate in enumerate(cohort.replicates)
        ]

    def sparsify(self, cohort: Cohort) -> None:
        """Train from random masks to the end."""
        cohort.begin(self.start(cohort), cohort.epochs)
        self.train(cohort)

    def train(self, cohort: Cohort) -> None:
        """Train what the cohort has begun, exchanging connections on the way."""
        epochs, every = cohort.epochs, self.every
        if every is None or not self.fraction:
            cohort.advance(epochs, final=True, after_epoch=partial(self.after_epoch, cohort))
            return
        last = self.until * epochs * math.ceil(len(cohort.train.x) / cohort.training.batch)

        def before_step(minibatch: Minibatch) -> bool:
            step = cohort.population.steps
            if step == 0 or step % every or step >= last:
                return False
            self.update(Exchange(cohort, step // every - 1, step + every >= last, minibatch), step / last)
            return self.replaces_step

        cohort.advance(epochs, final=True, before_step=before_step)

    def after_epoch(self, cohort: Cohort, epoch: int) -> None:
        """Exchange connections after an epoch that is not the last, if it is time."""
        last = self.until * cohort.epochs
        if self.fraction and epoch + 1 <= last:
            self.update(Exchange(cohort, epoch, min(cohort.epochs, epoch + 2) > last), (epoch + 1) / last)

    def share(self, progress: float) -> float:
        """Return the share of weights that is exchanged.

        Args:
            progress: from 0 at the start to 1 where the last exchange may be.
        """
        return self.fraction * (0.5 * (1 + math.cos(math.pi * progress)) if self.annealing == "cosine" else 1.0)

    def update(self, exchange: Exchange, progress: float) -> None:
        """Exchange connections of all networks.

        Args:
            exchange: the occasion.
            progress: from 0 at the start to 1 where the last exchange may be.
        """
        cohort = exchange.cohort
        connections, grown = [], []
        for number, existing in enumerate(cohort.connections):
            own, fresh = [], []
            for layer, indices in enumerate(existing):
                after, anew = self._exchanged(exchange, number, layer, indices, self.share(progress))
                own.append(after)
                fresh.append((anew, self.values(exchange, number, layer, len(anew)).astype(np.float32)))
            connections.append(own)
            grown.append(fresh)
        cohort.population.rewire(connections, grown)

    def _exchanged(
        self, exchange: Exchange, number: int, layer: int, existing: Positions, share: float
    ) -> tuple[Positions, Positions]:
        """Return a layer's connections afterwards, and those of them that begin anew."""
        cohort = exchange.cohort
        allowed = None if cohort.allowed is None else cohort.allowed[number][layer]
        places = cohort.network.layers[layer].size if allowed is None else len(allowed)
        last = layer == len(cohort.network.layers) - 1
        count = 0 if last and not self.exchange_last else min(round(share * len(existing)), places - len(existing))
        if not count:
            return existing, existing[:0]
        kept = existing[self.kept(cohort.population.weights(layer, number), count)]
        candidates = free(kept, cohort.network.layers[layer].size, allowed)
        grown = self.grown(exchange, number, layer, candidates, len(existing) - len(kept))
        anew = np.setdiff1d(grown, existing, assume_unique=True) if self.regrow == "keep" else np.sort(grown)
        return np.sort(np.concatenate([kept, grown])), anew


def _allowed(cohort: Cohort, number: int) -> list[Positions]:
    """Return, for each layer, the flat indices at which a network may have weights."""
    return [np.arange(layer.size) for layer in cohort.network.layers] if cohort.allowed is None else cohort.allowed[number]


def initial_like(exchange: Exchange, number: int, layer: int, count: int) -> np.ndarray:
    """Draw values as initial weights are drawn, from the dense layer's fan-in."""
    cohort = exchange.cohort
    own, rng = cohort.network.layers[layer], exchange.rng(number, layer, "values")
    match cohort.initialisation.weights:
        case "he_uniform":
            bound = math.sqrt(6 / own.fan_in)
            return rng.uniform(-bound, bound, count)
        case "glorot_normal":
            return rng.normal(0, math.sqrt(2 / (own.fan_in + own.fan_out)), count)
    return rng.normal(0, math.sqrt(2 / own.fan_in), count)

