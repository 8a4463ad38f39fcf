"""Gradual magnitude pruning: Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878."""

from typing import Literal

from pydantic import Field

from evosparse.sparsify.base import method
from evosparse.sparsify.budget import best_of_all
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.dynamic import Dynamic, Exchange
from evosparse.sparsify.pruning import magnitudes


@method
class GMP(Dynamic):
    """The smallest weights of all layers go as it trains: sparsity is S (1 - (1 - progress)^3) (equation 1)."""

    method: Literal["gmp"] = "gmp"
    every: int | None = Field(100, ge=1)
    until: float = Field(0.75, gt=0, le=1)

    def sparsify(self, cohort: Cohort) -> None:
        cohort.begin(cohort.dense, cohort.epochs)
        self.train(cohort)
        self.update(Exchange(cohort, -1, last=True), 1.0)  # changes nothing unless training was too short for it

    def update(self, exchange: Exchange, progress: float) -> None:
        cohort, share = exchange.cohort, 1.0 if exchange.last else 1 - (1 - progress) ** 3
        counts = [round((1 - share * replicate.sparsity) * cohort.size) for replicate in cohort.replicates]
        cohort.cut([best_of_all(magnitudes(cohort, n), count, cohort.connections[n]) for n, count in enumerate(counts)])
