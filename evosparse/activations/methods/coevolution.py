"""Coevolution as published: a population for each role, judged beside the best functions so far of the others.

    for each role in turn (input, hidden, output), n generations of the (1 + lambda) strategy:
        a function is judged in its place of the best triple so far
        a triple that is better than all before becomes the best

The published code makes one pass, population after population; round robin lets them take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evosparse.activations.methods.base import ActivationSearch, Method, OnePlusLambda, Role
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey


class Coevolution(Method):
    """Parameters of coevolution.

    Attributes:
        schedule: ``sequential``, one population after the other (the published code), or ``round_robin``.
    """

    method: Literal["coevolution"] = "coevolution"
    schedule: Literal["sequential", "round_robin"] = "sequential"

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> CoevolutionSearch:
        return CoevolutionSearch(self, roles, primitives)


class CoevolutionSearch(ActivationSearch):
    """Populations that advance one at a time."""

    def __init__(self, parameters: Coevolution, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        super().__init__(parameters, roles, primitives)
        self.strategies = {role: OnePlusLambda(self) for role in self.roles}

    @property
    def generations(self) -> int:
        return self.measures_baseline + len(self.roles) * self.parameters.n

    def place(self, generation: int) -> int:
        """Return which population advances in a generation."""
        if self.parameters.schedule == "round_robin":
            return generation % len(self.roles)
        return generation // self.parameters.n

    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        place = self.place(generation)
        role = self.roles[place]
        strategy = self.strategies[role]
        return [
            self.child(self.best.with_function(place, genes), role, strategy.parent, self.incumbent)
            for genes in strategy.propose(key)
        ]

    def learn(self, candidates: Sequence[Candidate]) -> None:
        self.strategies[candidates[0].population].learn(candidates)

    def state(self) -> State:
        common = super().state()
        parents = {role: own.parent for role, own in self.strategies.items() if own.parent is not None}
        return State(common.values, candidates=common.candidates | {role: [parent] for role, parent in parents.items()})

    def restore(self, state: State) -> None:
        super().restore(state)
        for role, strategy in self.strategies.items():
            strategy.parent = next(iter(state.candidates.get(role, ())), None)
