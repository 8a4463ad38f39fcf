"""What the search methods over activation functions share: the budget, the best triple so far, and the (1 + lambda) strategy.

Raz Lapid and Moshe Sipper, "Evolution of Activation Functions for Deep Learning-Based Image Classification" (2022).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Literal

import numpy as np
from deap import base, tools
from pydantic import Field

from evosparse.activations.cgp import CGP
from evosparse.activations.genome import Genes, Triple, given
from evosparse.activations.primitives import PrimitiveSet
from evosparse.activations.tree import GeneticProgramming
from evosparse.activations.workbench import behaviour
from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.nets import Role
from evosparse.section import Section

_TRIES = 20  # mutations after which a child may be a duplicate after all

Encoding = Annotated[CGP | GeneticProgramming, Field(discriminator="name")]
Identity = Callable[[Genes], Hashable]


class Method(Section):
    """Parameters of one search method; each method is one file with this class and its search.

    Attributes:
        n: generations of each population in `Coevolution`, by which all budgets are measured: with three populations and
            four offspring, each method evaluates 12 n - 9 triples.
        offspring: children of a parent in each generation.
        legacy: the published budgets instead of equal ones.
        encoding: of the functions.
        direction: ``maximise``, or ``legacy_minimise``: parents are replaced by worse children, as in the published code.
        start: ``measure_baseline`` evaluates the baseline first, beside the budget, so that only what is better takes its
            place; ``none`` leaves it unmeasured, as in the published code.
        baseline: the function that stands in all places at first.
        duplicates: ``allow`` children that are functions already proposed in this generation or their parent; or mutate
            on while they are equal in ``structure`` (the canonical formula) or in ``behaviour`` (on fixed points).
    """

    n: int = Field(20, ge=1)
    offspring: int = Field(4, ge=1)
    legacy: bool = False
    encoding: Encoding = CGP()
    direction: Literal["maximise", "legacy_minimise"] = "maximise"
    start: Literal["measure_baseline", "none"] = "measure_baseline"
    baseline: str = "relu(x)"
    duplicates: Literal["allow", "structure", "behaviour"] = "allow"

    def budget(self, roles: int) -> int:
        """Return how many triples are evaluated, the baseline not counted.

        Args:
            roles: number of roles of the network's slots.
        """
        return roles * (1 + self.offspring * (self.n - 1))

    @abstractmethod
    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> ActivationSearch:
        """Make the search.

        Args:
            roles: of the network's slots, each once.
            primitives: of which functions are made.
        """

    def check_fitness(self, fitness: Fitness) -> None:
        """Refuse a user's fitness that the methods cannot be driven by.

        Raises:
            SpecError: it has several objectives.
        """
        if len(fitness.objectives) > 1:
            names = ", ".join(fitness.objectives)
            raise SpecError(f"fitness: expected one objective for search method {self.method}, got {names}: name one")


class ActivationSearch(Search):
    """Proposes triples within a budget, and remembers the best.

    Args:
        parameters: of the method.
        roles: of the network's slots.
        primitives: of which functions are made.

    Attributes:
        incumbent: the best candidate so far, whose functions are the collaborators of others; None before there is one.
    """

    def __init__(self, parameters: Method, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        self.parameters = parameters
        self.roles = tuple(roles)
        self.alphabet = primitives.alphabet
        self.budget = parameters.budget(len(self.roles))
        self.incumbent: Candidate | None = None
        self.spent = 0
        self.asked = 0
        self._baseline = given(parameters.baseline, self.roles, primitives, "search.baseline")
        self._identity = _identity(parameters.duplicates, primitives)

    @property
    @abstractmethod
    def generations(self) -> int:
        """How many generations the search takes, that of the baseline included."""

    @abstractmethod
    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        """Propose the candidates of a generation, counted from 0 without that of the baseline."""

    @abstractmethod
    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Learn from a generation; the incumbent is still that of the proposal."""

    @property
    def measures_baseline(self) -> bool:
        """Whether the first generation is the baseline."""
        return self.parameters.start == "measure_baseline"

    @property
    def best(self) -> Triple:
        """The functions of the best candidate so far, at first the baseline."""
        return self._baseline if self.incumbent is None else self.incumbent.genome

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self.asked == 0 and self.measures_baseline:
            return [Candidate(self._baseline, population="baseline")]
        left = self.budget - self.spent
        return self.propose(self.asked - self.measures_baseline, key)[:left] if left > 0 else []

    def tell(self, candidates: Sequence[Candidate]) -> None:
        if self.asked or not self.measures_baseline:
            self.spent += len(candidates)
            self.learn(candidates)
        self.asked += 1
        best = tools.selBest([*([] if self.incumbent is None else [self.incumbent]), *candidates], 1)[0]
        # The incumbent stands first: only what is better takes its place.
        self.incumbent = best if best.ok else None

    def state(self) -> State:
        incumbent = [] if self.incumbent is None else [self.incumbent]
        return State({"asked": self.asked, "spent": self.spent}, candidates={"incumbent": incumbent})

    def restore(self, state: State) -> None:
        self.asked, self.spent = int(state.values["asked"]), int(state.values["spent"])
        self.incumbent = next(iter(state.candidates["incumbent"]), None)

    def child(self, genome: Triple, population: str, *parents: Candidate | None) -> Candidate:
        """Return a candidate made from others: its parent first, then those that its collaborators come from."""
        uids = dict.fromkeys(parent.uid for parent in parents if parent is not None)
        return Candidate(genome, parents=tuple(uids), population=population)

    def toolbox(self) -> base.Toolbox:
        """Return the operators of one population: individual, mutate, mate and select."""
        encoding = self.parameters.encoding
        toolbox = base.Toolbox()
        toolbox.register("individual", encoding.random, self.alphabet)
        toolbox.register("mutate", encoding.mutate)
        toolbox.register("mate", encoding.cross)
        toolbox.register("select", tools.selBest if self.parameters.direction == "maximise" else tools.selWorst)
        return toolbox

    def mutants(self, toolbox: base.Toolbox, parent: Genes, count: int, key: SeedKey) -> list[Genes]:
        """Return mutated copies of a parent, duplicates among them mutated on if that is asked for."""
        seen = {self._identity(parent)}
        children = []
        for index in range(count):
            rng = key.child("child", index).rng()
            children.append(self.distinct(toolbox.mutate(parent, rng), seen, toolbox, rng))
        return children

    def distinct(self, genes: Genes, seen: set[Hashable], toolbox: base.Toolbox, rng: np.random.Generator) -> Genes:
        """Mutate on while a function is one of those seen, and add it to them."""
        for _ in range(_TRIES if self.parameters.duplicates != "allow" else 0):
            if self._identity(genes) not in seen:
                break
            genes = toolbox.mutate(genes, rng)
        seen.add(self._identity(genes))
        return genes


class OnePlusLambda:
    """One population by the (1 + lambda) strategy with neutral drift.

        the parent is drawn at random
        each generation: mutate it lambda times; the best child that is not worse takes its place

    Args:
        search: what it belongs to.

    Attributes:
        parent: None before the first is evaluated.
    """

    def __init__(self, search: ActivationSearch) -> None:
        self._search = search
        self.toolbox = search.toolbox()
        self.parent: Candidate | None = None

    def propose(self, key: SeedKey) -> list[Genes]:
        """Return the genes of the first parent, or of its children."""
        if self.parent is None:
            return [self.toolbox.individual(key.child("individual").rng())]
        parameters = self._search.parameters
        return self._search.mutants(self.toolbox, self.parent.genome.individual, parameters.offspring, key)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Choose the next parent; what could not be measured is the worst, and only replaces its like."""
        # The parent stands last: a child that is as good takes its place, so silent changes gather.
        rivals = [*candidates, *([] if self.parent is None else [self.parent])]
        (self.parent,) = self.toolbox.select([rival for rival in rivals if rival.ok] or rivals, 1)


def _identity(duplicates: str, primitives: PrimitiveSet) -> Identity:
    if duplicates == "behaviour":
        return lambda genes: behaviour(genes.expression.canonical, primitives)
    return lambda genes: genes.expression.canonical


__all__ = ["ActivationSearch", "Encoding", "Method", "OnePlusLambda", "Role"]
