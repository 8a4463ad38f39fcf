"""One population whose functions go to random places of the best triple so far: the (1 + lambda) strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evosparse.activations.genome import Genes, Triple
from evosparse.activations.methods.base import Role
from evosparse.activations.methods.single import Single, SingleSearch
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey


class OneForTriple(Single):
    """Parameters of the evolution of one population for all places."""

    method: Literal["triple"] = "triple"

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> TripleSearch:
        return TripleSearch(self, roles, primitives)


class TripleSearch(SingleSearch):
    """The single search, but each function is judged in a random place, beside the best functions so far."""

    population = "triple"

    def placed(self, genes: Genes, key: SeedKey) -> Triple:
        return self.best.with_function(int(key.rng().integers(len(self.roles))), genes)

    @property
    def sources(self) -> tuple[Candidate | None, ...]:
        return (self.incumbent,)
