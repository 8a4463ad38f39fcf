"""Random pruning: the control of every other method."""

from __future__ import annotations

from typing import Literal

from evosparse.nets import Connections
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Scores


@method
class Random(Pruning):
    """Scores are drawn from N(0, 1); see `Pruning`."""

    method: Literal["random"] = "random"

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        rng = cohort.replicates[number].key.child("random scores", turn).rng()
        return [rng.standard_normal(len(own)) for own in connections]
