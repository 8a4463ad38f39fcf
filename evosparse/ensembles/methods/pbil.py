"""PBIL: population-based incremental learning.

Baluja, "Population-based incremental learning" (1994).

    each member has a probability, at first that of the initialisation
    each generation: draw ensembles; move the probabilities a step towards the mean of the best of them;
    now and then shift one at random
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from deap import tools
from numpy.typing import NDArray
from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.methods.base import Bounds, EnsembleSearch, Method, margins, rows_of


class PBIL(Method):
    """Parameters of PBIL; the defaults are Baluja's.

    Attributes:
        population: ensembles in each generation.
        learning_rate: share of the way towards the best.
        best: number of ensembles that are the best.
        mutation: probability that a member's probability is shifted.
        shift: share of the way, to 0 or to 1 at random.
        bounds: of the probabilities; or ``1/n``.
    """

    method: Literal["pbil"] = "pbil"
    population: int = Field(100, ge=2)
    learning_rate: float = Field(0.1, gt=0, le=1)
    best: int = Field(1, ge=1)
    mutation: float = Field(0.02, ge=0, le=1)
    shift: float = Field(0.05, ge=0, le=1)
    bounds: Bounds = (0.0, 1.0)

    def search(self, bench: Bench, start: Initialisation) -> PBILSearch:
        return PBILSearch(self, bench, start)


class PBILSearch(EnsembleSearch):
    """PBIL as a search.

    Attributes:
        marginals: (members,) probability of each member; None before the first generation.
        history: the marginals after each generation.
    """

    def __init__(self, parameters: PBIL, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.marginals: NDArray[np.float64] | None = None
        self.history: list[NDArray[np.float64]] = []
        self._shifts: NDArray[np.float64] | None = None

    def propose(self, key: SeedKey) -> list[Candidate]:
        rng = key.child("shift").rng()
        shifted = rng.random(self.bench.members) < self.parameters.mutation
        # NaN where nothing is shifted, else where to; drawn here, because learning has no key.
        self._shifts = np.where(shifted, rng.integers(2, size=self.bench.members), np.nan)
        if self.marginals is None:
            return self.first(self.parameters.population, key)
        draws = key.rng().random((self.parameters.population, self.bench.members))
        return self.candidates(draws < self.marginals)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        parameters = self.parameters
        best = tools.selBest([candidate for candidate in candidates if candidate.ok], parameters.best)
        marginals = self.start.marginals(self.bench) if self.marginals is None else self.marginals
        if best:
            marginals = marginals + parameters.learning_rate * (rows_of(best).mean(axis=0) - marginals)
        shifted = marginals + parameters.shift * (np.nan_to_num(self._shifts) - marginals)
        marginals = np.where(np.isnan(self._shifts), marginals, shifted)
        self.marginals = np.clip(marginals, *margins(parameters.bounds, self.bench.members))
        self.history.append(self.marginals)

    def memory(self) -> State:
        return State(arrays={"history": np.array(self.history)})

    def recall(self, state: State) -> None:
        self.history = list(state.arrays["history"])
        self.marginals = self.history[-1]
