"""Random search: ensembles as the initialisation draws them, what every other method has to beat with as many evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import EnsembleSearch, Method


class Random(Method):
    """Parameters of random search.

    Attributes:
        population: ensembles in each generation.
    """

    method: Literal["random"] = "random"
    population: int = Field(500, ge=1)

    def search(self, bench: Bench, start: Initialisation) -> RandomSearch:
        return RandomSearch(self, bench, start)


class RandomSearch(EnsembleSearch):
    """Random search; the Hall of Fame remembers the best."""

    def propose(self, key: SeedKey) -> list[Candidate]:
        return self.first(self.parameters.population, key)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is learnt."""
