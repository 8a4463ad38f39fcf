"""UMDA: the univariate marginal distribution algorithm.

Mühlenbein and Paass (1996); for classifier ensembles Ferreira Jr. et al., "Creating Classifier Ensembles through Meta-heuristic
Algorithms for Aerial Scene Classification" (2020), whose settings are the defaults.

    each member has a probability, at first that of the initialisation
    each generation: draw ensembles, each member with its probability; take the best share of them;
    a member's probability becomes its frequency among these, within bounds
    stop where the best has not improved for a share of all generations
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


class UMDA(Method):
    """Parameters of UMDA.

    Attributes:
        population: ensembles in each generation.
        truncation: share of them, the best, from which probabilities are learnt.
        bounds: of the probabilities; or ``1/n``, the margins 1/n and 1 - 1/n for n members.
        stagnation: share of all generations after which a search that does not improve ends; None to go on.
        sampling: ``marginals``; or ``legacy_inverted``, which draws each member with one minus its probability, as the
            library did that the published figures were made with, and so moves away from what it selects.
    """

    method: Literal["umda"] = "umda"
    population: int = Field(500, ge=2)
    truncation: float = Field(0.75, gt=0, lt=1)
    bounds: Bounds = (0.05, 0.95)
    stagnation: float | None = Field(0.2, gt=0, le=1)
    sampling: Literal["marginals", "legacy_inverted"] = "marginals"

    def search(self, bench: Bench, start: Initialisation) -> UMDASearch:
        return UMDASearch(self, bench, start)


class UMDASearch(EnsembleSearch):
    """UMDA as a search.

    Attributes:
        marginals: (members,) probability of each member; None before the first generation.
        history: the marginals after each generation.
    """

    def __init__(self, parameters: UMDA, bench: Bench, start: Initialisation) -> None:
        super().__init__(parameters, bench, start)
        self.marginals: NDArray[np.float64] | None = None
        self.history: list[NDArray[np.float64]] = []
        self._best: Candidate | None = None
        self._since = 0  # generations without a better one

    @property
    def finished(self) -> bool:
        share = self.parameters.stagnation
        return share is not None and self._since >= max(1.0, share * self.parameters.generations)

    def propose(self, key: SeedKey) -> list[Candidate]:
        size = self.parameters.population
        if self.marginals is None:
            return self.first(size, key)
        draws = key.rng().random((size, self.bench.members))
        inverted = self.parameters.sampling == "legacy_inverted"
        return self.candidates(self.marginals < draws if inverted else draws < self.marginals)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        measured = [candidate for candidate in candidates if candidate.ok]
        selected = tools.selBest(measured, max(1, int(self.parameters.truncation * len(candidates))))
        if selected:
            self.marginals = np.clip(rows_of(selected).mean(axis=0), *margins(self.parameters.bounds, self.bench.members))
            self.history.append(self.marginals)
        better = bool(selected) and (self._best is None or selected[0].fitness > self._best.fitness)
        self._best, self._since = (selected[0], 0) if better else (self._best, self._since + 1)

    def memory(self) -> State:
        arrays = {"history": np.array(self.history)} if self.history else {}
        best = [] if self._best is None else [self._best]
        return State({"since": self._since}, arrays, {"best": best})

    def recall(self, state: State) -> None:
        self._since = int(state.values["since"])
        self.history = list(state.arrays["history"]) if "history" in state.arrays else []
        self.marginals = self.history[-1] if self.history else None
        self._best = next(iter(state.candidates["best"]), None)
