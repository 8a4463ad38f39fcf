"""Magnitude pruning: train, keep the largest weights, go on training what is left."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evosparse.nets import Connections
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Reset, Scores, magnitudes


@method
class Magnitude(Pruning):
    """Scores are |w| after a dense training; see `Pruning`.

    Source: Han et al. (NIPS 2015) without its thresholds (see `han`); global scores as in Frankle and Carbin's large networks.
    """

    method: Literal["magnitude"] = "magnitude"
    round_epochs: int | None = Field(None, ge=0)
    reset: Reset = "finetune"

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        return magnitudes(cohort, number)
