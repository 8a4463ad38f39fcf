"""Where a search begins: the I of CIF-E, as a probability for each member and a first population."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.stats import rankdata

from evosparse.ensembles.bench import Bench
from evosparse.ensembles.diversity import DiversityName
from evosparse.ensembles.greedy import greedy_selection
from evosparse.section import Section


class Initialisation(Section):
    """How the first ensembles are drawn; a bare string is the way.

    Attributes:
        by: ``random``, each member with probability one half; ``accuracy`` or ``diversity``, each member with a probability
            by its rank, from ``low`` to ``high``; ``size``, of a size drawn first, so that all sizes are equally likely; or
            ``greedy``: the members of the greedy selection with probability ``high``, all others with ``low``, and the
            greedy selection itself as the first candidate.
        low: probability of the member with the lowest rank.
        high: probability of the member with the highest rank.
        diversity: the measure by which members are ranked; a member's is the mean over its pairs.
    """

    by: Literal["random", "accuracy", "diversity", "size", "greedy"] = "random"
    low: float = Field(0.25, ge=0, le=1)
    high: float = Field(0.75, ge=0, le=1)
    diversity: DiversityName = "disagreement"

    @model_validator(mode="after")
    def _is_a_range(self) -> Initialisation:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high})")
        return self

    def marginals(self, bench: Bench) -> NDArray[np.float64]:
        """Return the (members,) probability of each member to be drawn."""
        match self.by:
            case "accuracy":
                return self._by_rank(bench.votes.accuracies)
            case "diversity":
                return self._by_rank(bench.diversity(self.diversity).of_members())
            case "greedy":
                return np.where(greedy_selection(bench.votes) > 0, self.high, self.low)
        return np.full(bench.members, 0.5)

    def draw(self, bench: Bench, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return (count, members) ensembles."""
        members = bench.members
        if self.by == "size":
            # The members in random order, of which so many are taken.
            places = rng.random((count, members)).argsort(axis=1).argsort(axis=1)
            return places < rng.integers(1, members, size=(count, 1), endpoint=True)
        chosen = rng.random((count, members)) < self.marginals(bench)
        if self.by == "greedy":
            chosen[0] = greedy_selection(bench.votes) > 0
        return chosen

    def _by_rank(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(values) == 1:
            return np.array([self.high])
        return self.low + (self.high - self.low) * (rankdata(values) - 1) / (len(values) - 1)
