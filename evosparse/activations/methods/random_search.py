"""Random search: random functions, each in a random place of the best triple so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evosparse.activations.genome import Genes
from evosparse.activations.methods.base import ActivationSearch, Method, Role
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey


class Random(Method):
    """Parameters of random search.

    Attributes:
        sampling: ``fresh`` draws every function anew; ``one_parent`` proposes mutants of one random function, as the
            published code does.
    """

    method: Literal["random"] = "random"
    sampling: Literal["fresh", "one_parent"] = "fresh"

    def budget(self, roles: int) -> int:
        return roles * self.n + 1 if self.legacy else super().budget(roles)

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> RandomSearch:
        return RandomSearch(self, roles, primitives)


class RandomSearch(ActivationSearch):
    """Proposes so many functions at a time as other methods have offspring."""

    def __init__(self, parameters: Random, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        super().__init__(parameters, roles, primitives)
        self._toolbox = self.toolbox()

    @property
    def generations(self) -> int:
        return self.measures_baseline + -(-self.budget // self.parameters.offspring)

    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        functions = self._functions(generation, key)
        places = key.child("place").rng().integers(len(self.roles), size=len(functions))
        return [
            self.child(self.best.with_function(int(place), genes), "random", self.incumbent)
            for place, genes in zip(places, functions, strict=True)
        ]

    def _functions(self, generation: int, key: SeedKey) -> list[Genes]:
        count = self.parameters.offspring
        if self.parameters.sampling == "fresh":
            return [self._toolbox.individual(key.child("individual", index).rng()) for index in range(count)]
        # The parent hangs below the root key, so that all generations mutate the same one.
        parent = self._toolbox.individual(key.root.child("random parent").rng())
        mutants = self.mutants(self._toolbox, parent, count, key)
        return [parent, *mutants[1:]] if generation == 0 else mutants

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Nothing but the incumbent is remembered."""
