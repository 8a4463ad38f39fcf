"""A genetic algorithm over ensembles.

    the first population is drawn by the initialisation
    each generation: keep the elites; breed the rest by tournament, uniform crossover and bit flips
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from deap import base, tools
from pydantic import Field, model_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import EnsembleSearch, Method, crossed


class Genetic(Method):
    """Parameters of the genetic algorithm.

    Attributes:
        population: ensembles that survive each generation.
        crossover: probability that a child has two parents, each of whose bits it takes with probability one half.
        mutation: probability that a bit of a child is flipped; by default one over the number of members.
        tournament: number of ensembles that compete to become a parent.
        elites: best ensembles that survive unchanged.
        stagnation: share of all generations after which a search that does not improve ends; None to go on.
    """

    method: Literal["ga"] = "ga"
    population: int = Field(100, ge=2)
    crossover: float = Field(0.9, ge=0, le=1)
    mutation: float | None = Field(None, ge=0, le=1)
    tournament: int = Field(3, ge=1)
    elites: int = Field(1, ge=1)
    stagnation: float | None = Field(0.2, gt=0, le=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Genetic:
        if self.elites >= self.population:
            raise ValueError(f"elites ({self.elites}) must be fewer than the population ({self.population})")
        return self

    def search(self, bench: Bench, start: Initialisation) -> GeneticSearch:
        return GeneticSearch(self, bench, start)


class GeneticSearch(EnsembleSearch):
    """The genetic algorithm as a search."""

    def __init__(self, parameters: Genetic, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.population: list[Candidate] = []
        self._since = 0
        self.toolbox = base.Toolbox()
        self.toolbox.register("select", tools.selTournament, tournsize=parameters.tournament)
        self.toolbox.register("survive", tools.selBest)

    @property
    def finished(self) -> bool:
        share = self.parameters.stagnation
        return share is not None and self._since >= max(1.0, share * self.parameters.generations)

    def propose(self, key: SeedKey) -> list[Candidate]:
        parameters = self.parameters
        if not self.population:
            return self.first(parameters.population, key)
        children = parameters.population - parameters.elites
        parents = self.toolbox.select(self.population, 2 * children)
        rng = key.rng()
        return [crossed(self, parents[2 * index], parents[2 * index + 1], rng) for index in range(children)]

    def learn(self, candidates: Sequence[Candidate]) -> None:
        measured = [candidate for candidate in candidates if candidate.ok]
        elites = self.toolbox.survive(self.population, self.parameters.elites)
        # Children that failed leave their places to the best of the old population.
        spare = [parent for parent in self.toolbox.survive(self.population, len(self.population)) if parent not in elites]
        missing = max(0, self.parameters.population - len(elites) - len(measured))
        better = not self.population or any(child.fitness > elites[0].fitness for child in measured)
        self._since = 0 if better else self._since + 1
        self.population = self.toolbox.survive(elites + measured + spare[:missing], self.parameters.population)

    def memory(self) -> State:
        return State({"since": self._since}, candidates={"population": self.population})

    def recall(self, state: State) -> None:
        self._since = int(state.values["since"])
        self.population = list(state.candidates["population"])
