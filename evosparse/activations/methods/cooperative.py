"""Cooperative coevolution: all populations advance in every generation.

Mitchell Potter and Kenneth De Jong, "Cooperative Coevolution" (2000); choice of collaborators and credit after Wiegand,
Liles and De Jong (GECCO 2001). evosparse's own counterpart of the published method, at the same budget.

    draw a random population for each role
    each generation, in each population: breed children by tournament, crossover (trees) and mutation
        judge each child with collaborators from the other populations, several times if asked for
        credit it with the best or the mean of these; the best of parents and children survive
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from deap import tools
from pydantic import Field

from evosparse.activations.genome import Genes, Triple
from evosparse.activations.methods.base import ActivationSearch, Method, Role
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate, FitnessValues
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey


class Cooperative(Method):
    """Parameters of cooperative coevolution.

    Attributes:
        population: functions of each role that survive a generation.
        tournament: number of functions that compete to become a parent.
        crossover: probability that a child has two parents (trees alone: the grid has no crossover).
        collaborators: the ``best`` of the other populations; ``random`` ones; or the better of ``two_draws``.
        trials: triples in which a function is judged, with new collaborators each; the best ones are the same each time
            but for the first: after that the second best of a population, and so on.
        credit: ``best`` or ``mean`` of the trials.
    """

    method: Literal["cooperative"] = "cooperative"
    population: int = Field(4, ge=1)
    tournament: int = Field(2, ge=1)
    crossover: float = Field(0.5, ge=0, le=1)
    collaborators: Literal["best", "random", "two_draws"] = "best"
    trials: int = Field(1, ge=1)
    credit: Literal["best", "mean"] = "best"

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> CooperativeSearch:
        return CooperativeSearch(self, roles, primitives)


@dataclass(frozen=True)
class Individual:
    """A function of one population, with the triples in which it was judged.

    Args:
        trials: evaluated candidates, at least one.
        credit: how they make its fitness.
    """

    trials: tuple[Candidate, ...]
    credit: str

    @property
    def genes(self) -> Genes:
        """Its genes."""
        return self.trials[0].genome.individual

    @cached_property
    def fitness(self) -> FitnessValues:
        """Best or mean of the trials that could be measured; invalid if none could."""
        measured = [trial.fitness for trial in self.trials if trial.ok]
        if self.credit == "best" or len(measured) < 2:
            return max(measured, default=self.trials[0].fitness)
        (name,) = measured[0].objectives
        return FitnessValues(measured[0].objectives, {name: float(np.mean([own.values[0] for own in measured]))})


class CooperativeSearch(ActivationSearch):
    """Populations that advance together."""

    def __init__(self, parameters: Cooperative, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        super().__init__(parameters, roles, primitives)
        self.populations: dict[Role, list[Individual]] = {role: [] for role in self.roles}
        self.toolboxes = {role: self.toolbox() for role in self.roles}
        for toolbox in self.toolboxes.values():
            toolbox.register("choose", tools.selTournament, k=2, tournsize=parameters.tournament)

    @property
    def generations(self) -> int:
        first = len(self.roles) * self.parameters.population * self.parameters.trials
        later = len(self.roles) * self.parameters.offspring * self.parameters.trials
        return self.measures_baseline + 1 + max(0, -(-(self.budget - first) // later))

    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        children = {role: self._children(role, key.child("breed", place)) for place, role in enumerate(self.roles)}
        candidates = []
        for place, role in enumerate(self.roles):
            for index, (genes, parents) in enumerate(children[role]):
                for trial in range(self.parameters.trials):
                    rng = key.child("collaborators", place, index, trial).rng()
                    triple, sources = self._beside(place, genes, trial, rng, children)
                    candidates.append(self.child(triple, role, *parents, *sources))
        return candidates

    def learn(self, candidates: Sequence[Candidate]) -> None:
        for role in self.roles:
            own = [candidate for candidate in candidates if candidate.population == role]
            starts = range(0, len(own), self.parameters.trials)
            judged = [self._individual(own[start : start + self.parameters.trials]) for start in starts]
            # Children first: one that is as good as a parent takes its place.
            rivals = [*judged, *self.populations[role]]
            self.populations[role] = self._select(role, rivals)

    def state(self) -> State:
        common = super().state()
        sizes = {role: [len(own.trials) for own in population] for role, population in self.populations.items()}
        trials = {
            role: [trial for own in population for trial in own.trials] for role, population in self.populations.items()
        }
        return State({**common.values, "sizes": sizes}, candidates={**common.candidates, **trials})

    def restore(self, state: State) -> None:
        super().restore(state)
        for role, sizes in state.values["sizes"].items():
            trials = iter(state.candidates[role])
            self.populations[role] = [self._individual([next(trials) for _ in range(size)]) for size in sizes]

    def _individual(self, trials: Sequence[Candidate]) -> Individual:
        return Individual(tuple(trials), self.parameters.credit)

    def _select(self, role: Role, rivals: Sequence[Individual]) -> list[Individual]:
        measured = [rival for rival in rivals if rival.fitness.valid]
        spare = [rival for rival in rivals if not rival.fitness.valid]
        kept = self.toolboxes[role].select(measured, self.parameters.population)
        # What could not be measured only fills places that nothing else can take.
        return kept + spare[: self.parameters.population - len(kept)]

    def _children(self, role: Role, key: SeedKey) -> list[tuple[Genes, list[Candidate]]]:
        """Return the genes of new functions, each with the candidates that it was made from."""
        toolbox, population = self.toolboxes[role], self.populations[role]
        if not population:
            keys = [key.child("individual", index) for index in range(self.parameters.population)]
            return [(toolbox.individual(own.rng()), []) for own in keys]
        seen = {self._identity(individual.genes) for individual in population}
        children = []
        for index in range(self.parameters.offspring):
            rng = key.child("child", index).rng()
            first, second = toolbox.choose(population)
            parents, genes = [first.trials[0]], first.genes
            if first is not second and rng.random() < self.parameters.crossover:
                crossed = toolbox.mate(genes, second.genes, rng)
                parents += [second.trials[0]] if crossed != genes else []
                genes = crossed
            children.append((self.distinct(toolbox.mutate(genes, rng), seen, toolbox, rng), parents))
        return children

    def _beside(
        self,
        place: int,
        genes: Genes,
        trial: int,
        rng: np.random.Generator,
        children: dict[Role, list[tuple[Genes, list[Candidate]]]],
    ) -> tuple[Triple, list[Candidate]]:
        """Return a function beside collaborators, and the candidates that these come from."""
        functions, sources = [], []
        for role in self.roles:
            population = self.populations[role]
            if role == self.roles[place]:
                functions.append(genes)
            elif population:
                collaborator = self._collaborator(population, trial, rng)
                functions.append(collaborator.genes)
                sources.append(collaborator.trials[0])
            elif self.parameters.collaborators == "best" and trial == 0:
                # Nothing is known of the first generation: the best so far is the baseline.
                functions.append(self.best.genes[self.roles.index(role)])
            else:
                functions.append(children[role][int(rng.integers(len(children[role])))][0])
        return Triple(self.roles, tuple(functions), place), sources

    def _collaborator(self, population: Sequence[Individual], trial: int, rng: np.random.Generator) -> Individual:
        if self.parameters.collaborators == "best":
            return tools.selBest(population, len(population))[trial % len(population)]
        draws = rng.integers(len(population), size=2 if self.parameters.collaborators == "two_draws" else 1)
        return tools.selBest([population[int(draw)] for draw in draws], 1)[0]
