"""No search: given functions in all places, such as ReLU, against which the others are held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evosparse.activations.genome import given
from evosparse.activations.methods.base import ActivationSearch, Method, Role
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey


class Standard(Method):
    """Parameters of the standard functions.

    Attributes:
        functions: each is evaluated in all places at once; the best by validation is the winner.
    """

    method: Literal["standard"] = "standard"
    functions: tuple[str, ...] = Field(("relu(x)",), min_length=1)

    def budget(self, roles: int) -> int:
        return len(self.functions)

    def search(self, roles: Sequence[Role], primitives: PrimitiveSet) -> StandardSearch:
        return StandardSearch(self, roles, primitives)


class StandardSearch(ActivationSearch):
    """Evaluates the given functions, all in one generation."""

    measures_baseline = False

    def __init__(self, parameters: Standard, roles: Sequence[Role], primitives: PrimitiveSet) -> None:
        super().__init__(parameters, roles, primitives)
        self._triples = [given(own, self.roles, primitives, "search.functions") for own in parameters.functions]

    @property
    def generations(self) -> int:
        return 1

    def propose(self, generation: int, key: SeedKey) -> list[Candidate]:
        return [Candidate(triple, population="standard") for triple in self._triples]

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is learnt."""
