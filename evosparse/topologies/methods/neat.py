"""NeuroEvolution of Augmenting Topologies: networks that grow from minimal ones, protected by species.

Stanley and Miikkulainen, "Evolving Neural Networks through Augmenting Topologies", Evolutionary Computation 10(2), 2002.

    the first population is minimal; each genome joins the first species that it is compatible with
    each generation: species share children by their mean fitness; those that do not improve have none
        the champion of a large species is copied; the rest are children of its best members
        children inherit genes by innovation numbers, mutate their weights, and sometimes grow
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from deap import base, tools
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.section import Section
from evosparse.topologies import operators
from evosparse.topologies.breeding import Distribution, EqualGenes, Inheritance, Parents, breed, draw_weights
from evosparse.topologies.functions import code_of, codes_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations, Scope
from evosparse.topologies.species import Distance, Record, SmallGenome, may_reproduce, offspring, updated
from evosparse.topologies.start import Start, first_genomes
from evosparse.topologies.tasks.base import SOLVED

Confirm = Callable[[Topology], bool]


class NEAT(Section):
    """Parameters of NEAT; the defaults are the paper's for XOR and double pole balancing with velocities, but ``patience``.

    Attributes:
        population: networks in each generation.
        generations: at the most.
        tested: who is put to a test that is meant for champions: the ``best`` of each generation, or the champion of the
            best ``species`` that has not been tested since it improved, as in the authors' program.
        until_solved: whether the search ends with the generation in which the task is solved.
        start: the first generation.
        growth: whether nodes and connections are added.
        mating: whether children may have two parents.
        speciation: whether there are species; without, all compete with all.
        c1, c2, c3: coefficients of the compatibility distance, of excess and disjoint genes and of weights.
        threshold: of the distance below which genomes are compatible.
        target_species: number of species that the threshold adapts to, by ``threshold_step`` a generation; None to keep it.
        threshold_step: see above.
        small_genome_n: what distances of small genomes are divided by, see `species.Distance`.
        representative: of a species: ``random_previous``, a random member of the generation before, its ``champion``, or
            its ``first`` member.
        stagnation: generations without improvement after which a species has no children.
        patience: generations without improvement of all after which only the two best species have any; None for never.
        champion_from: a species of more members than this keeps its champion unchanged.
        survival: share of a species' best members that have children.
        mutation_only: share of children that have one parent.
        mate_only: share of children of two parents that are not mutated.
        interspecies: probability that the second parent is of another species; 0 for never.
        average: probability that matching genes of two parents are averaged.
        inherit_disabled: probability that a gene disabled in one of two parents is disabled in the child.
        equal_fitness_genes: of two parents of equal fitness, genes that only one has: ``random``, ``both`` or ``first``.
        mutate_weights: probability that a child's weights are mutated.
        perturb: probability that a weight is then perturbed, and not replaced.
        power: half the range of perturbations, or their standard deviation.
        initial_power: the same of first and of replaced weights.
        weights: distribution of all these.
        weight_clip: bound of weights; None for none.
        structure_alone: whether a child whose structure is mutated keeps its weights, so that what is new is tried as it is.
        add_node, add_connection, toggle, delete_node, delete_connection, mutate_function: probabilities for each child.
        split: which connections get nodes, see `operators.add_node`.
        hidden_function: names of the functions that hidden nodes may have.
        output_function: name of the outputs' function.
        innovation_scope: how long the same structural change gets the same number.
        recurrent: whether connections may form loops; None for what the task needs.
        sweeps: updates of a recurrent network at each step.
    """

    method: Literal["neat"] = "neat"
    population: int = Field(150, ge=2)
    generations: int = Field(100, ge=1)
    tested: Literal["best", "species"] = "best"
    until_solved: bool = True
    start: Start = Field(default_factory=Start)
    growth: bool = True
    mating: bool = True
    speciation: bool = True
    c1: float = Field(1.0, ge=0)
    c2: float = Field(1.0, ge=0)
    c3: float = Field(0.4, ge=0)
    threshold: float = Field(3.0, gt=0)
    target_species: int | None = Field(None, ge=1)
    threshold_step: float = Field(0.3, gt=0)
    small_genome_n: SmallGenome = "one_below_20"
    representative: Literal["random_previous", "champion", "first"] = "random_previous"
    stagnation: int = Field(15, ge=1)
    patience: int | None = Field(None, ge=1)
    champion_from: int = Field(5, ge=0)
    survival: float = Field(0.2, gt=0, le=1)
    mutation_only: float = Field(0.25, ge=0, le=1)
    mate_only: float = Field(0.0, ge=0, le=1)
    interspecies: float = Field(0.001, ge=0, le=1)
    average: float = Field(0.0, ge=0, le=1)
    inherit_disabled: float = Field(0.75, ge=0, le=1)
    equal_fitness_genes: EqualGenes = "both"
    mutate_weights: float = Field(0.8, ge=0, le=1)
    perturb: float = Field(0.9, ge=0, le=1)
    power: float = Field(2.5, gt=0)
    initial_power: float = Field(2.5, gt=0)
    weights: Distribution = "uniform"
    weight_clip: float | None = Field(8.0, gt=0)
    structure_alone: bool = True
    add_node: float = Field(0.03, ge=0, le=1)
    add_connection: float = Field(0.05, ge=0, le=1)
    toggle: float = Field(0.0, ge=0, le=1)
    delete_node: float = Field(0.0, ge=0, le=1)
    delete_connection: float = Field(0.0, ge=0, le=1)
    mutate_function: float = Field(0.0, ge=0, le=1)
    split: operators.Split = "any"
    hidden_function: tuple[str, ...] = ("steep_sigmoid",)
    output_function: str = "steep_sigmoid"
    innovation_scope: Scope = "generation"
    recurrent: bool | None = None
    sweeps: int = Field(1, ge=1)

    @field_validator("hidden_function", mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> NEAT:
        if not self.hidden_function:
            raise ValueError("hidden_function: expected at least one name, got none")
        try:
            codes_of((*self.hidden_function, self.output_function))
        except SpecError as error:
            raise ValueError(str(error)) from None
        return self

    def search(self, face: Interface, confirm: Confirm | None = None) -> NEATSearch:
        """Make the search; for its arguments see `NEATSearch`."""
        return NEATSearch(self, face, confirm)

    def check_fitness(self, fitness: Fitness) -> None:
        """Refuse a fitness of several objectives (SpecError)."""
        if len(fitness.objectives) > 1:
            names = ", ".join(fitness.objectives)
            raise SpecError(f"fitness: expected one objective for search method neat, got {names}: name one of them")


class NEATSearch(Search):
    """NEAT as a search.

    Args:
        parameters: of the method.
        face: of all networks.
        confirm: tells whether the champion of a generation has solved the task; None to believe its measure `SOLVED`.

    Attributes:
        population: the last generation.
        species: number of each candidate's species.
        records: what is remembered of each species, by number.
        history: size of each species by its number, for each generation.
        solution: the candidate that solved the task.
    """

    def __init__(self, parameters: NEAT, face: Interface, confirm: Confirm | None = None) -> None:
        self.parameters = parameters
        self.face = face
        self.confirm = confirm
        self.generations = parameters.generations
        self.population: list[Candidate] = []
        self.species: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.records: dict[int, Record] = {}
        self.history: list[dict[int, int]] = []
        self.solution: Candidate | None = None
        self.threshold = parameters.threshold
        self._generation = 0
        self._next_species = 0
        self._best = (-np.inf, 0)  # fitness of the population, and the generation in which it improved last
        self._innovations = Innovations(face.fixed + parameters.start.nodes, parameters.innovation_scope)
        self._distance = Distance(parameters.c1, parameters.c2, parameters.c3, parameters.small_genome_n)
        self._functions = code_of(parameters.output_function), np.array(codes_of(parameters.hidden_function))
        self._growth = operators.Growth(parameters.initial_power, parameters.weights, self._functions[1], parameters.split)
        self.toolbox = base.Toolbox()
        self.toolbox.register("rank", tools.selBest)

    def ask(self, key: SeedKey) -> list[Candidate]:
        parameters, rng = self.parameters, key.rng()
        if self._generation >= parameters.generations or (parameters.until_solved and self.solution is not None):
            return []
        self._innovations.begin_generation()
        if not any(candidate.ok for candidate in self.population):
            weights = parameters.initial_power, parameters.weights
            genomes = first_genomes(
                parameters.population, parameters.start, self.face, self._functions, weights, self._innovations, rng
            )
            families: Sequence[tuple[str, ...]] = [()] * len(genomes)
        else:
            genomes, families = self._children(rng)
        self._speciate(genomes, rng)
        return [
            Candidate(genome, parents=family, population=f"species {number}")
            for genome, family, number in zip(genomes, families, self.species.tolist(), strict=True)
        ]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.population = list(candidates)
        best = {}
        for candidate, number in zip(candidates, self.species.tolist(), strict=True):
            if candidate.ok:
                best[number] = max(candidate.fitness.wvalues[0], best.get(number, -np.inf))
        self.records = {
            number: updated(self.records.get(number), number, value, self._generation) for number, value in sorted(best.items())
        }
        if best and max(best.values()) > self._best[0]:
            self._best = max(best.values()), self._generation
        numbers, sizes = np.unique(self.species, return_counts=True)
        self.history.append(dict(zip(numbers.tolist(), sizes.tolist(), strict=True)))
        self.solution = self.solution or self._solved(candidates)
        self._generation += 1

    def state(self) -> State:
        values = {
            "generation": self._generation,
            "next_species": self._next_species,
            "best": [float(self._best[0]), self._best[1]],
            "threshold": self.threshold,
            "records": [[record.number, record.best, record.improved, record.tested] for record in self.records.values()],
        }
        rows = [(when, *row) for when, sizes in enumerate(self.history) for row in sizes.items()]
        arrays = {
            "species": self.species,
            "innovations": self._innovations.state(),
            "history": np.array(rows, dtype=np.int64).reshape(-1, 3),
        }
        solution = [] if self.solution is None else [self.solution]
        return State(values, arrays, {"population": self.population, "solution": solution})

    def restore(self, state: State) -> None:
        values, arrays = state.values, state.arrays
        self._generation, self._next_species = int(values["generation"]), int(values["next_species"])
        self._best = float(values["best"][0]), int(values["best"][1])
        self.threshold = float(values["threshold"])
        records = [Record(int(row[0]), float(row[1]), int(row[2]), *map(bool, row[3:])) for row in values["records"]]
        self.records = {record.number: record for record in records}
        self.species = arrays["species"]
        self._innovations.restore(arrays["innovations"])
        self.history = [{} for _ in range(self._generation)]
        for when, number, size in arrays["history"].tolist():
            self.history[when][number] = size
        self.population = list(state.candidates["population"])
        self.solution = next(iter(state.candidates["solution"]), None)

    def _solved(self, candidates: Sequence[Candidate]) -> Candidate | None:
        if self.confirm is None:
            solved = (candidate for candidate in candidates if candidate.ok and candidate.outcome.measures.get(SOLVED))
            return next(solved, None)
        measured = [(one, int(number)) for one, number in zip(candidates, self.species, strict=True) if one.ok]
        if not measured:
            return None
        ranked = sorted(measured, key=lambda one: one[0].fitness.wvalues[0], reverse=True)
        champion = ranked[0][0]
        if self.parameters.tested == "species":
            # The first of a species is its champion; where all were tested, the best of all is once more.
            champion, number = next((one for one in ranked if not self.records[one[1]].tested), ranked[0])
            self.records[number] = replace(self.records[number], tested=True)
        return champion if self.confirm(champion.genome) else None

    def _speciate(self, genomes: Sequence[Topology], rng: np.random.Generator) -> None:
        """Assign each genome to a species, represented by members of the generation before."""
        if not self.parameters.speciation:
            self.species, self._next_species = np.zeros(len(genomes), dtype=np.int64), 1
            return
        numbers = sorted(self.records)
        representatives = [self._representative(number, rng) for number in numbers]
        places = self._distance.assign(genomes, representatives, self.threshold)
        new = int(places.max()) + 1 - len(numbers)
        known = np.array(numbers + [self._next_species + place for place in range(max(new, 0))], dtype=np.int64)
        self.species = known[places]
        self._next_species += max(new, 0)
        target = self.parameters.target_species
        if target is not None:
            step = np.sign(len(np.unique(self.species)) - target) * self.parameters.threshold_step
            self.threshold = max(self.threshold + float(step), self.parameters.threshold_step)

    def _representative(self, number: int, rng: np.random.Generator) -> Topology:
        members = [self.population[place] for place in np.flatnonzero(self.species == number)]
        match self.parameters.representative:
            case "random_previous":
                return members[rng.integers(len(members))].genome
            case "champion":
                return self.toolbox.rank([member for member in members if member.ok], 1)[0].genome
        return members[0].genome

    def _children(self, rng: np.random.Generator) -> tuple[list[Topology], list[tuple[str, ...]]]:
        """Return the next generation's genomes, and the uids of their parents."""
        fitness = self._fitness()
        champions, mothers, fathers = self._pairs(fitness, rng)
        parents, changes = self._parents(mothers, fathers, fitness, rng)
        genomes = [candidate.genome for candidate in self.population]
        children = breed(genomes, parents, self._inheritance, rng) if len(mothers) else []
        # Each in turn, so that innovation numbers follow their order.
        for place in np.flatnonzero(changes.any(axis=1)):
            children[place] = operators.mutate(children[place], changes[place], self._growth, self._innovations, rng)
        families = [(self.population[place].uid,) for place in champions]
        for first, second in zip(parents.first.tolist(), parents.second.tolist(), strict=True):
            families.append(tuple(self.population[place].uid for place in (first, second) if place >= 0))
        return [genomes[place] for place in champions] + children, families

    def _pairs(
        self, fitness: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of the champions that are copied, and of both parents of each other child, -1 for no second."""
        parameters = self.parameters
        # Fitness is shared from the lowest, or from zero; in parts, whose sum over the population cannot overflow.
        above = fitness / 2**20 - min(np.nanmin(fitness), 0.0) / 2**20
        records = list(self.records.values())
        last = self._generation - 1
        patience = parameters.patience or np.inf
        eligible = may_reproduce(records, last, parameters.stagnation, patience, self._best[1])
        if last - self._best[1] > patience:
            self._best = self._best[0], last  # the two species get as much time again before the next of their kind
        pools, means = [], []
        for place in eligible:
            members = np.flatnonzero((self.species == records[place].number) & np.isfinite(fitness))
            # Of equals the newest comes first, behind copied champions, so that a species drifts where it cannot climb.
            ranked = members[np.lexsort((-members, -fitness[members]))]
            # A species' sum of shared fitness is the mean fitness of its members.
            means.append(above[members].mean())
            pools.append((ranked[: int(parameters.survival * len(ranked)) + 1], len(members)))
        champions, mothers, fathers = [], [], []
        for own, count in enumerate(offspring(np.array(means), parameters.population)):
            pool, size = pools[own]
            if size > parameters.champion_from and count:
                champions.append(int(pool[0]))
                count -= 1
            mothers.append(pool[rng.integers(len(pool), size=count)])
            fathers.append(pool[rng.integers(len(pool), size=count)])
            if len(pools) > 1:
                for child in np.flatnonzero(rng.random(count) < parameters.interspecies):
                    other = pools[(own + rng.integers(1, len(pools))) % len(pools)][0]
                    fathers[-1][child] = other[rng.integers(len(other))]
        first, second = np.concatenate(mothers), np.concatenate(fathers)
        alone = (rng.random(len(first)) < parameters.mutation_only) | (first == second)
        return champions, first, np.where(alone | (not parameters.mating), -1, second)

    def _fitness(self) -> NDArray[np.float64]:
        """Return each candidate's fitness, greater is better; NaN for those that were not measured."""
        return np.array([candidate.fitness.wvalues[0] if candidate.ok else np.nan for candidate in self.population])

    def _parents(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        fitness: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> tuple[Parents, NDArray[np.bool_]]:
        """Put the fitter parent first, and decide which mutations each child has.

        Returns:
            The parents, and (children, kinds of structural mutation) truth values.
        """
        parameters = self.parameters
        both = second >= 0
        swapped = both & (fitness[second] > fitness[first])
        mutated = ~(both & (rng.random(len(first)) < parameters.mate_only))
        growth = float(parameters.growth)
        rates = np.array([
            growth * parameters.add_node, growth * parameters.add_connection, parameters.toggle,
            growth * parameters.delete_node, growth * parameters.delete_connection, parameters.mutate_function,
        ])  # fmt: skip
        changes = mutated[:, None] & (rng.random((len(first), len(rates))) < rates)
        if parameters.structure_alone:
            mutated &= ~changes.any(axis=1)
        equal = both & (fitness[first] == fitness[second])
        return Parents(np.where(swapped, second, first), np.where(swapped, first, second), equal, mutated), changes

    @property
    def _inheritance(self) -> Inheritance:
        parameters = self.parameters
        return Inheritance(
            parameters.average, parameters.inherit_disabled, parameters.equal_fitness_genes, parameters.mutate_weights,
            parameters.perturb, parameters.power, parameters.initial_power, parameters.weights, parameters.weight_clip,
        )  # fmt: skip
