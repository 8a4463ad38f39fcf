"""NSGA-II over ensembles: accuracy against size, or whatever objectives the fitness has.

Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002, with
DEAP's selection.

    the first population is drawn by the initialisation
    each generation: parents by crowded tournament, uniform crossover and bit flips; the best of parents and children survive,
    by front and crowding distance
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from deap import base, tools
from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import EnsembleSearch, Method, crossed
from evosparse.errors import SpecError


class NSGA2(Method):
    """Parameters of NSGA-II.

    Attributes:
        population: ensembles that survive each generation; a multiple of four.
        crossover: probability that a child has two parents.
        mutation: probability that a bit of a child is flipped; by default one over the number of members.
    """

    method: Literal["nsga2"] = "nsga2"
    population: int = Field(100, ge=4, multiple_of=4)
    crossover: float = Field(0.9, ge=0, le=1)
    mutation: float | None = Field(None, ge=0, le=1)

    def search(self, bench: Bench, start: Initialisation) -> NSGA2Search:
        return NSGA2Search(self, bench, start)

    def check_fitness(self, fitness: Fitness) -> None:
        if len(fitness.objectives) < 2:
            raise SpecError(
                f"fitness: nsga2 needs at least two objectives, got {', '.join(fitness.objectives)}: aim at accuracy_size, or "
                "use another method"
            )


class NSGA2Search(EnsembleSearch):
    """NSGA-II as a search."""

    def __init__(self, parameters: NSGA2, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.population: list[Candidate] = []
        self.toolbox = base.Toolbox()
        self.toolbox.register("select", tools.selTournamentDCD)
        self.toolbox.register("survive", tools.selNSGA2)

    def propose(self, key: SeedKey) -> list[Candidate]:
        size = self.parameters.population
        if not self.population:
            return self.first(size, key)
        # Assigned anew each time, because a resumed search has only the genomes and their fitness.
        ranked = self.toolbox.survive(self.population, len(self.population))
        parents = self.toolbox.select(ranked, len(ranked) - len(ranked) % 4) if len(ranked) >= 4 else ranked
        rng = key.rng()
        return [
            crossed(self, parents[index % len(parents)], parents[(index + 1) % len(parents)], rng) for index in range(size)
        ]

    def learn(self, candidates: Sequence[Candidate]) -> None:
        measured = [candidate for candidate in candidates if candidate.ok]
        rivals = {candidate.genome.key: candidate for candidate in reversed([*self.population, *measured])}
        self.population = self.toolbox.survive(list(reversed(rivals.values())), self.parameters.population)

    def memory(self) -> State:
        return State(candidates={"population": self.population})

    def recall(self, state: State) -> None:
        self.population = list(state.candidates["population"])
