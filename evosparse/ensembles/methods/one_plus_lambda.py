"""The (1 + lambda) evolution strategy over ensembles.

    the parent is the best of the first generation
    each generation: flip bits of the parent; the best child that is not worse takes its place
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from deap import tools
from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import EnsembleSearch, Method, flip


class OnePlusLambda(Method):
    """Parameters of the (1 + lambda) strategy.

    Attributes:
        offspring: children in each generation, and ensembles in the first.
        mutation: probability that a bit is flipped; by default one over the number of members.
    """

    method: Literal["one_plus_lambda"] = "one_plus_lambda"
    offspring: int = Field(20, ge=1)
    mutation: float | None = Field(None, gt=0, le=1)

    def search(self, bench: Bench, start: Initialisation) -> OnePlusLambdaSearch:
        return OnePlusLambdaSearch(self, bench, start)


class OnePlusLambdaSearch(EnsembleSearch):
    """The (1 + lambda) strategy as a search."""

    def __init__(self, parameters: OnePlusLambda, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.parent: Candidate | None = None

    def propose(self, key: SeedKey) -> list[Candidate]:
        if self.parent is None:
            return self.first(self.parameters.offspring, key)
        row, rng = self.parent.genome.chosen, key.rng()
        rate = 1 / len(row) if self.parameters.mutation is None else self.parameters.mutation
        children = [self.bench.ensemble(flip(row, rate, rng)) for _ in range(self.parameters.offspring)]
        return [Candidate(child, parents=(self.parent.uid,)) for child in children]

    def learn(self, candidates: Sequence[Candidate]) -> None:
        # The parent stands last: a child that is as good takes its place.
        rivals = [candidate for candidate in candidates if candidate.ok] + ([self.parent] if self.parent else [])
        self.parent = tools.selBest(rivals, 1)[0] if rivals else None

    def memory(self) -> State:
        return State(candidates={"parent": [self.parent] if self.parent else []})

    def recall(self, state: State) -> None:
        self.parent = next(iter(state.candidates["parent"]), None)
