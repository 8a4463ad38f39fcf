"""Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019, arXiv 1810.02340."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.nets import Connections
from evosparse.nets.sensitivity import gradients
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Scores


@method
class SNIP(Pruning):
    """Scores are |w dL/dw| on one minibatch (equation 6, without its sum, which orders nothing); see `Pruning`.

    Attributes:
        examples: of the minibatch; None for as many as in training.
        redraw: true is what the published code does: the mask is of other initial weights than are trained.

    Deviation: biases are neither scored nor cut; at zero, as they start, all of theirs would be.
    """

    method: Literal["snip"] = "snip"
    examples: int | None = Field(None, ge=1)

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        state, loss = cohort.population.state(number), cohort.training.loss
        x, y = cohort.sample(number, self.examples or cohort.training.batch, turn)
        cohort.charge_dense([number], len(x))
        slopes = gradients(cohort.network, state, x, y, loss)
        weights = [state[layer.parameter].reshape(-1) for layer in cohort.network.layers]
        return [np.abs(w * g)[own] for w, g, own in zip(weights, slopes, connections, strict=True)]
