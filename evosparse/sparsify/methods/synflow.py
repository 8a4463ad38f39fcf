"""Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020.

SynFlow, arXiv 2006.05467.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.nets import Connections
from evosparse.nets.sensitivity import synaptic_flow
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Scores


@method
class SynFlow(Pruning):
    """Scores are |w dR/dw|, of R the outputs' sum for an input of ones at the magnitudes of all weights (algorithm 1).

    Scored and cut again and again at the initial weights, without data; one cut alone removes whole layers. See `Pruning`.

    Deviation: biases are neither scored nor cut; they take part in R by their magnitudes.
    """

    method: Literal["synflow"] = "synflow"
    rounds: int = Field(100, ge=1)

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        state = cohort.population.state(number)
        cohort.charge_dense([number], 1)
        flow = synaptic_flow(cohort.network, state)
        weights = [np.abs(state[layer.parameter].reshape(-1)) for layer in cohort.network.layers]
        return [(w * slope)[own] for w, slope, own in zip(weights, flow, connections, strict=True)]
