"""One population whose function stands in all places: the (1 + lambda) strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evosparse.activations.genome import Triple, everywhere
from evosparse.activations.methods.base import ActivationSearch, Method, OnePlusLambda, Role
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey


class Single(Method):
    """Parameters of the evolution of one function for all places."""

    method: Literal["single"] = "single"

    def budget(self, roles: int) -> int:
        published = 1 + self.offspring * (roles * self.n - 1)
        return published if self.legacy else super().budget(roles)

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> SingleSearch:
        return SingleSearch(self, roles, primitives)


class SingleSearch(ActivationSearch):
    """The (1 + lambda) strategy over functions; the last generation has as many children as the budget leaves."""

    population = "single"

    def __init__(self, parameters: Method, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        super().__init__(parameters, roles, primitives)
        self.strategy = OnePlusLambda(self)

    @property
    def generations(self) -> int:
        return self.measures_baseline + 1 + -(-(self.budget - 1) // self.parameters.offspring)

    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        return [
            self.child(self.placed(genes, key.child("place", index)), self.population, self.strategy.parent, *self.sources)
            for index, genes in enumerate(self.strategy.propose(key))
        ]

    def placed(self, genes: object, key: SeedKey) -> Triple:
        """Return the triple in which a function is judged."""
        return everywhere(self.roles, genes)

    @property
    def sources(self) -> tuple[Candidate | None, ...]:
        """The candidates that collaborators come from: here there are none."""
        return ()

    def learn(self, candidates: Sequence[Candidate]) -> None:
        self.strategy.learn(candidates)

    def state(self) -> State:
        common = super().state()
        parent = [] if self.strategy.parent is None else [self.strategy.parent]
        return State(common.values, candidates={**common.candidates, "parent": parent})

    def restore(self, state: State) -> None:
        super().restore(state)
        self.strategy.parent = next(iter(state.candidates["parent"]), None)
