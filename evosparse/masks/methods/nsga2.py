"""NSGA-II over masks of any sparsity in a range: validation accuracy against the number of weights.

Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002, with
DEAP's selection.

    draw masks (or find those of published methods) whose densities spread evenly, on a logarithmic scale, over the range
    each generation: parents by crowded tournament; crossover, swap mutation, and a step in density; the best of parents
    and children survive, by front and crowding distance
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from deap import base, tools
from pydantic import Field, field_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.masks.fitness import TrainedFitness
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import MaskSearch, Method, within
from evosparse.masks.operators import between, crossover, random_mask, resize, swap_mutation
from evosparse.masks.starts import Starts, StartSpec
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets.sparsity import LayerShape


class NSGA2(Method):
    """Parameters of NSGA-II.

    Attributes:
        sparsity: least and greatest share of the weights that do not exist, in [0, 1).
        population: number of masks that survive each generation; a multiple of four.
        crossover: probability that a child has two parents.
        mutation_rate: share of the connections that move in every child.
        resize: probability that a child changes its number of connections.
        step: standard deviation of that change, in the logarithm of the density.
        epochs: length of the training by which a mask is judged.
        start: published methods whose masks are generation zero, each with as many weights as the search asks for, distributed
            over the layers as the method has it; by default the masks are random.
    """

    method: Literal["nsga2"] = "nsga2"
    sparsity: tuple[float, float] = (0.8, 0.99)
    population: int = Field(32, ge=4, multiple_of=4)
    crossover: float = Field(0.7, ge=0, le=1)
    mutation_rate: float = Field(0.02, gt=0, le=1)
    resize: float = Field(0.5, ge=0, le=1)
    step: float = Field(0.3, gt=0)
    epochs: int = Field(1, ge=1)
    start: StartSpec | None = None

    @field_validator("sparsity")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] < 1:
            raise ValueError("must be a range [low, high] with 0 <= low < high < 1")
        return value

    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        return self.counts(layers, self.sparsity[0])

    def search(self, bench: Workbench) -> NSGA2Search:
        return NSGA2Search(self, bench)

    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        return TrainedFitness(epochs=self.epochs, objectives={"accuracy": "max", "weights": "min"})

    def check_fitness(self, fitness: Fitness) -> None:
        if len(fitness.objectives) < 2:
            raise SpecError(
                f"fitness: nsga2 needs at least two objectives, got {', '.join(fitness.objectives)}: add one, such as "
                "minimize='weights', or use the method genetic"
            )


class NSGA2Search(MaskSearch):
    """NSGA-II as a search.

    Args:
        parameters: of the method.
        bench: data, network and training.
    """

    def __init__(self, parameters: NSGA2, bench: Workbench) -> None:
        self.parameters = parameters
        self.layers = bench.network.layers
        self.size = sum(layer.size for layer in self.layers)
        self.population: list[Candidate] = []
        low, high = (math.log(1 - sparsity) for sparsity in reversed(parameters.sparsity))
        self.first_counts = [self._counts(density) for density in np.exp(np.linspace(low, high, parameters.population))]
        if parameters.start is not None:
            self.starts = Starts(parameters.start, bench, [sum(counts) for counts in self.first_counts])
        self.toolbox = base.Toolbox()
        self.toolbox.register("select", tools.selTournamentDCD)
        self.toolbox.register("survive", tools.selNSGA2)
        self.toolbox.register("mate", crossover)
        self.toolbox.register("mutate", swap_mutation)

    def ask(self, key: SeedKey) -> list[Candidate]:
        size = self.parameters.population
        if not self.population:
            if self.starts is not None:
                return self.starts.candidates(key)
            return [
                Candidate(random_mask(self.layers, counts, key.child("start", index).rng()))
                for index, counts in enumerate(self.first_counts)
            ]
        # Assigned anew each time, because a resumed search has only the genomes and their fitness.
        ranked = self.toolbox.survive(self.population, len(self.population))
        parents = self.toolbox.select(ranked, len(ranked) - len(ranked) % 4)
        pairs = [(parents[index % len(parents)], parents[(index + 1) % len(parents)]) for index in range(size)]
        return [self._child(first, second, key.child("child", index).rng()) for index, (first, second) in enumerate(pairs)]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        known = {member.genome.key for member in self.population}
        # A genome that stands twice would crowd out others without adding anything.
        fresh = {child.genome.key: child for child in candidates if child.ok and child.genome.key not in known}
        self.population = self.toolbox.survive([*self.population, *fresh.values()], self.parameters.population)
        if len(self.population) < 4:  # too few for a crowded tournament: begin again
            self.population = []

    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        return within(mask, epochs)

    def state(self) -> State:
        state = State(candidates={"population": self.population})
        return state if self.starts is None else self.starts.added_to(state)

    def restore(self, state: State) -> None:
        self.population = list(state.candidates["population"])
        if self.starts is not None:
            self.starts.restore(state)

    def _counts(self, density: float) -> tuple[int, ...]:
        return self.parameters.counts(self.layers, 1 - density)

    def _counts_like(self, first: Mask, second: Mask, share: float, density: float) -> tuple[int, ...]:
        """Return a child's counts: as the parameters distribute them, or between its parents' where methods did."""
        if self.starts is None:
            return self._counts(density)
        return between(first, second, share, round(density * self.size))

    def _child(self, first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
        mask, parents = first.genome, [first.uid]
        low, high = (1 - sparsity for sparsity in reversed(self.parameters.sparsity))
        density = mask.count / self.size
        if rng.random() < self.parameters.crossover and second.genome != mask:
            density = math.exp(rng.uniform(*sorted((math.log(density), math.log(second.genome.count / self.size)))))
            share = 0.0 if self.starts is None else rng.random()
            counts = self._counts_like(mask, second.genome, share, min(max(density, low), high))
            mask = self.toolbox.mate(mask, second.genome, rng, counts)
            parents.append(second.uid)
        if rng.random() < self.parameters.resize:
            density *= math.exp(rng.normal(0, self.parameters.step))
            mask = resize(mask, self._counts_like(mask, mask, 0.0, min(max(density, low), high)), rng)
        return Candidate(self.toolbox.mutate(mask, self.parameters.mutation_rate, rng), parents=tuple(parents))
