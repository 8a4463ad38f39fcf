"""A genetic algorithm over masks of one sparsity, with K-starts as its generation zero.

evosparse's own extension of K-starts (not in the paper): DEAP's tournament selection, elitism, and operators that keep the
number of connections of every layer. Parents that distribute their connections differently, as published methods do with
which a search may start, have children between them with the same total.

    draw k random masks, or find those of published methods; the best of them are the population
    each generation: keep the elites; breed the rest by tournament, crossover or layer exchange, and swap mutation
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from deap import base, tools
from pydantic import Field, model_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.masks.fitness import TrainedFitness
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import MaskSearch, Method, within
from evosparse.masks.methods.kstarts import random_masks
from evosparse.masks.operators import AdaptiveRate, between, crossover, exchange_layers, swap_mutation
from evosparse.masks.starts import Starts, StartSpec
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets.sparsity import LayerShape
from evosparse.section import Section


class Mutation(Section):
    """Parameters of the swap mutation.

    Attributes:
        rate: share of the connections that move.
        adaptive: follow Rechenberg's rule: a higher rate while more than a fifth of the children beat their parent.
    """

    rate: float = Field(0.02, gt=0, le=1)
    adaptive: bool = True


class Genetic(Method):
    """Parameters of the genetic algorithm.

    Attributes:
        sparsity: share of the weights that do not exist, in [0, 1).
        population: number of masks that survive each generation.
        k: number of random masks in generation zero; by default as many as the population.
        elites: best masks that survive unchanged.
        tournament: number of masks that compete to become a parent.
        crossover: probability that a child has two parents.
        layer_exchange: probability that two parents exchange whole layers instead of single connections.
        mutation: of every child.
        epochs: length of the training by which a mask is judged.
        start: published methods whose masks are generation zero, each with as many weights as the search asks for, distributed
            over the layers as the method has it; by default the masks are random.
    """

    method: Literal["genetic"] = "genetic"
    sparsity: float = Field(0.9, ge=0, lt=1)
    population: int = Field(32, ge=2)
    k: int | None = Field(None, ge=2)
    elites: int = Field(2, ge=1)
    tournament: int = Field(3, ge=1)
    crossover: float = Field(0.7, ge=0, le=1)
    layer_exchange: float = Field(0.2, ge=0, le=1)
    mutation: Mutation = Field(default_factory=Mutation)
    epochs: int = Field(1, ge=1)
    start: StartSpec | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Genetic:
        if self.elites >= self.population:
            raise ValueError(f"elites ({self.elites}) must be fewer than the population ({self.population})")
        if self.k is not None and self.k < self.population:
            raise ValueError(f"k ({self.k}) must be at least the population ({self.population})")
        return self

    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        return self.counts(layers, self.sparsity)

    def search(self, bench: Workbench) -> GeneticSearch:
        return GeneticSearch(self, bench)

    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        return TrainedFitness(epochs=self.epochs)


class GeneticSearch(MaskSearch):
    """The genetic algorithm as a search.

    Args:
        parameters: of the method.
        bench: data, network and training.
    """

    def __init__(self, parameters: Genetic, bench: Workbench) -> None:
        self.parameters = parameters
        self.layers = bench.network.layers
        self.counts = parameters.counts(self.layers, parameters.sparsity)
        self.rate = AdaptiveRate(parameters.mutation.rate)
        self.population: list[Candidate] = []
        if parameters.start is not None:
            self.starts = Starts(parameters.start, bench, [sum(self.counts)] * (parameters.k or parameters.population))
        self.toolbox = base.Toolbox()
        self.toolbox.register("select", tools.selTournament, tournsize=parameters.tournament)
        self.toolbox.register("mate", crossover)
        self.toolbox.register("exchange", exchange_layers)
        self.toolbox.register("mutate", swap_mutation)

    def ask(self, key: SeedKey) -> list[Candidate]:
        size = self.parameters.population
        if not self.population:
            if self.starts is not None:
                return self.starts.candidates(key)
            return [Candidate(mask) for mask in random_masks(self.layers, self.counts, self.parameters.k or size, key)]
        return [self._child(key.child("child", index).rng()) for index in range(size - self.parameters.elites)]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        measured = [candidate for candidate in candidates if candidate.ok]
        if self.population and self.parameters.mutation.adaptive:
            parents = {parent.uid: parent for parent in self.population}
            successes = sum(child.fitness > parents[child.parents[0]].fitness for child in measured)
            self.rate = self.rate.updated(successes, len(candidates))
        elites = tools.selBest(self.population, self.parameters.elites)
        # Children that failed leave their places to the best of the old population.
        spare = [parent for parent in tools.selBest(self.population, len(self.population)) if parent not in elites]
        missing = max(0, self.parameters.population - len(elites) - len(measured))
        self.population = tools.selBest(elites + measured + spare[:missing], self.parameters.population)

    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        return within(mask, epochs)

    def state(self) -> State:
        state = State({"rate": self.rate.rate}, candidates={"population": self.population})
        return state if self.starts is None else self.starts.added_to(state)

    def restore(self, state: State) -> None:
        self.rate = AdaptiveRate(float(state.values["rate"]))
        self.population = list(state.candidates["population"])
        if self.starts is not None:
            self.starts.restore(state)

    def _child(self, rng: np.random.Generator) -> Candidate:
        first, second = self.toolbox.select(self.population, 2)
        parents = [first.uid]
        mask = first.genome
        if rng.random() < self.parameters.crossover and second.genome != mask:
            exchange = rng.random() < self.parameters.layer_exchange
            if mask.counts != second.genome.counts:
                # Whole layers of parents that distribute their weights differently would not keep the total.
                mask = self.toolbox.mate(mask, second.genome, rng, between(mask, second.genome, rng.random()))
            else:
                mask = (self.toolbox.exchange if exchange else self.toolbox.mate)(mask, second.genome, rng)
            parents.append(second.uid)
        return Candidate(self.toolbox.mutate(mask, self.rate.rate, rng), parents=tuple(parents))
