"""cGA: the compact genetic algorithm.

Harik, Lobo and Goldberg, "The compact genetic algorithm", IEEE TEC 3(4), 1999.

    each member has a probability, at first that of the initialisation
    each generation: draw a few ensembles (two); where the best differs from another, the probability moves by 1/n towards it
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


class CGA(Method):
    """Parameters of the compact genetic algorithm.

    Attributes:
        generations: at the most; each evaluates so many ensembles as compete.
        virtual_population: size n of the population that the probabilities stand for; a step is 1/n.
        tournament: number of ensembles that compete; the winner moves the probabilities away from each of the others.
        bounds: of the probabilities; or ``1/n`` for n members.
    """

    method: Literal["cga"] = "cga"
    generations: int = Field(5000, ge=1)
    virtual_population: int = Field(100, ge=2)
    tournament: int = Field(2, ge=2)
    bounds: Bounds = (0.0, 1.0)

    def search(self, bench: Bench, start: Initialisation) -> CGASearch:
        return CGASearch(self, bench, start)


class CGASearch(EnsembleSearch):
    """The compact genetic algorithm as a search; complete when every probability is 0 or 1.

    Attributes:
        marginals: (members,) probability of each member; None before the first generation.
    """

    def __init__(self, parameters: CGA, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.marginals: NDArray[np.float64] | None = None

    @property
    def finished(self) -> bool:
        return self.marginals is not None and bool(np.isin(self.marginals, (0.0, 1.0)).all())

    def propose(self, key: SeedKey) -> list[Candidate]:
        if self.marginals is None:
            self.marginals = self.start.marginals(self.bench)
        draws = key.rng().random((self.parameters.tournament, self.bench.members))
        return self.candidates(draws < self.marginals)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        ranked = tools.selBest(candidates, len(candidates))
        winner, *losers = rows_of(ranked).astype(np.float64)
        if not ranked[0].ok:
            return
        step = sum(winner - loser for loser in losers) / self.parameters.virtual_population
        marginals = self.marginals + step
        # Steps of 1/n from one half do not hit 0 and 1 exactly in floating point.
        marginals = np.where(np.abs(marginals - np.round(marginals)) < 1e-9, np.round(marginals), marginals)
        self.marginals = np.clip(marginals, *margins(self.parameters.bounds, self.bench.members))

    def memory(self) -> State:
        return State(arrays={"marginals": self.marginals})

    def recall(self, state: State) -> None:
        self.marginals = state.arrays["marginals"]
